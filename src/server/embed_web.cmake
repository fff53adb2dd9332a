# cmake -DDIST=folder -DOUT=file.cpp -P embed_web.cmake: the files of the built page as web_files().
# The assembler takes them in as they are; as arrays in C++ they would take minutes to compile.
file(GLOB_RECURSE files RELATIVE ${DIST} ${DIST}/*)
list(FILTER files EXCLUDE REGEX "\\.gz$")
list(SORT files)
set(externs "")
set(blobs "")
set(rows "")
set(n 0)
foreach(file ${files})
  file(SHA256 ${DIST}/${file} hash)
  string(SUBSTRING ${hash} 0 16 tag)
  string(REGEX REPLACE "^index\\.html$" "" path ${file})
  set(gzip "{}")
  set(parts "${file}")
  if(NOT file MATCHES "\\.woff2$")
    execute_process(COMMAND ${GZIP} -9 -n -c ${DIST}/${file} OUTPUT_FILE ${DIST}/${file}.gz
                    COMMAND_ERROR_IS_FATAL ANY)
    list(APPEND parts "${file}.gz")
  endif()
  set(views "")
  foreach(part ${parts})
    string(APPEND blobs ".balign 16\\nzaya_web_${n}:\\n.incbin \\\"${DIST}/${part}\\\"\\nzaya_web_${n}_end:\\n")
    string(APPEND externs "extern const char zaya_web_${n}[];\nextern const char zaya_web_${n}_end[];\n")
    list(APPEND views "{zaya_web_${n}, static_cast<std::size_t>(zaya_web_${n}_end - zaya_web_${n})}")
    math(EXPR n "${n} + 1")
  endforeach()
  list(LENGTH views count)
  if(count EQUAL 1)
    list(APPEND views "{}")
  endif()
  list(JOIN views ", " views)
  string(APPEND rows "    {\"/${path}\", ${views}, \"\\\"${tag}\\\"\"},\n")
endforeach()
file(WRITE ${OUT} "// Made by embed_web.cmake.
#include \"server/web.h\"

asm(\".pushsection .rodata\\n${blobs}.popsection\\n\");
extern \"C\" {
${externs}}

namespace zaya {

std::span<const WebFile> web_files() {
  static const WebFile kFiles[] = {
${rows}  };
  return kFiles;
}

}  // namespace zaya
")
