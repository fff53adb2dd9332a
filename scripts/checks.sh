# The checks of ./test. Each run_ function prints what failed, then ends the program by finish.
# To be sourced by bash after common.sh.
# shellcheck shell=bash
# shellcheck source=scripts/common.sh disable=SC2154

# finish PASSED FAILED: the closing line. A run that checked nothing has failed.
finish() {
  printf '%d passed, %d failed\n' "$1" "$2"
  exit $(($2 > 0 || $1 == 0))
}

build_or_finish() {
  build "$@" || {
    say "the build failed"
    finish 0 1
  }
}

# count_node LOG COMMAND...: runs tests of Node's runner, whose last line is "N passed, N failed", and
# adds that to node_passed and node_failed.
count_node() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 || true
  if [[ $(tail -n 1 "$log") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    node_passed=$((node_passed + BASH_REMATCH[1])) node_failed=$((node_failed + BASH_REMATCH[2]))
    # The runner repeats at the end what failed.
    sed -n '/failing tests:$/,$p' "$log"
  else
    tail -n 60 "$log"
    node_failed=$((node_failed + 1))
  fi
}

# test_web: the page is built, and its tests run in Node and in a browser.
test_web() {
  local log=$root/build/web.log
  install_locked web
  say "testing the web page"
  if ! (cd "$root/web" && node build.mjs) >"$log" 2>&1; then
    cat "$log"
    node_failed=$((node_failed + 1))
    return
  fi
  count_node "$log" node "$root/web/tests/run.mjs" unit
  count_node "$log" node "$root/web/tests/run.mjs" e2e
}

# test_clients: clients that people point at the server, as they are in npm.
test_clients() {
  install_locked tests/server/clients
  say "testing the server with its clients"
  count_node "$root/build/clients.log" node "$root/tests/server/clients/run.mjs" "$root/build/bin/zaya"
}

# run_tests plain|sanitize FILTER: all test programs side by side, counted by their single cases; and
# what is tested in Node, unless a filter asks for less.
run_tests() {
  local dir=$root/build options=(-DZAYA_TESTS=ON)
  if [[ $1 == sanitize ]]; then
    dir=$root/build-sanitize
    options+=(-DZAYA_SANITIZE=ON -DZAYA_WEB=OFF)
    export UBSAN_OPTIONS=print_stacktrace=1
    export LSAN_OPTIONS=suppressions=$root/scripts/leaks.txt:print_suppressions=0
  fi
  configure "$dir" "${options[@]}"
  build_or_finish "$dir"

  local node_passed=0 node_failed=0
  if [[ $1 == plain && $2 == '*' ]]; then
    if command -v npm >/dev/null; then
      test_web
      test_clients
    else
      say "there is no npm, so the web page is not tested, nor the server with its clients"
    fi
  fi

  # Files that tests leave behind go with the run.
  temporary=$(mktemp -d)
  trap 'rm -rf "$temporary"' EXIT
  export TMPDIR=$temporary TEST_TMPDIR=$temporary

  local results=$dir/results
  rm -rf "$results"
  mkdir "$results"
  cd "$dir" || exit
  GTEST_OUTPUT="xml:$results/" GTEST_BRIEF=1 GTEST_FILTER=$2 ctest \
    -j "$(nproc)" --timeout 1500 --output-on-failure --output-junit "$results/ctest.xml" || true
  count_results "$results" "$node_passed" "$node_failed"
}

# count_results DIR PASSED FAILED: ctest knows the programs, GoogleTest's own files the cases of each.
# What passed and failed elsewhere is added.
count_results() {
  local name status xml cases failures disabled not_run passed=$2 failed=$3 skipped=0
  while read -r name status; do
    xml=$1/test_$name.xml
    cases=1 failures=0 disabled=0 not_run=0
    if [[ -s $xml ]]; then
      read -r cases failures disabled < <(sed -n -E \
        's/^<testsuites tests="([0-9]+)" failures="([0-9]+)" disabled="([0-9]+)".*/\1 \2 \3/p' "$xml")
      not_run=$((disabled + $(grep -c 'result="skipped"' "$xml" || true)))
    elif [[ $status != run ]]; then
      failures=1
    fi
    if [[ $status != run && $failures == 0 ]]; then
      say "$name failed outside of its cases"
      cases=$((cases + 1)) failures=1
    fi
    passed=$((passed + cases - failures - not_run))
    failed=$((failed + failures))
    skipped=$((skipped + not_run))
  done < <(sed -n -E 's/.*<testcase name="([^"]*)".* status="([a-z]+)".*/\1 \2/p' "$1/ctest.xml")
  ((skipped == 0)) || printf '%d skipped\n' "$skipped"
  finish "$passed" "$failed"
}

# run_lint: shell scripts and formatting, then a build by clang in which clang-tidy looks at each file before it is
# compiled, so that a second run only looks at what changed.
run_lint() {
  local file files passed=0 failed=0
  cd "$root" || exit
  for file in run test .ci/run scripts/*.sh; do
    if shellcheck -x "$file"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  done
  mapfile -t files < <(find examples include src tests -name '*.h' -o -name '*.cpp' | sort)
  for file in "${files[@]}"; do
    if clang-format --dry-run -Werror "$file" 2>/dev/null; then
      passed=$((passed + 1))
    else
      failed=$((failed + 1))
      printf '%s: not formatted: clang-format -i %s\n' "$file" "$file"
    fi
  done

  if command -v npm >/dev/null; then
    install_locked web
    if (cd web && node node_modules/typescript/bin/tsc); then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  fi

  local dir=$root/build-lint
  for file in .clang-tidy tests/.clang-tidy; do
    [[ $file -nt $dir/options ]] && rm -rf "$dir"
  done
  # clang-tidy cannot read a precompiled header and the compiler does not need it here.
  configure "$dir" -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Debug -DZAYA_TESTS=ON \
    -DZAYA_FUZZ=ON -DZAYA_WEB=OFF -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON '-DCMAKE_CXX_CLANG_TIDY=clang-tidy;--quiet'
  local log=$dir/build.log broken problems
  build "$dir" -k 0 || say "clang-tidy or clang found problems"
  broken=$(grep -c '^FAILED: ' "$log" || true)
  problems=$(grep -E '^[^ ]+:[0-9]+:[0-9]+: (error|warning): ' "$log" | sort -u | wc -l || true)
  failed=$((failed + (problems > broken ? problems : broken)))
  passed=$((passed + $(grep -c '"file":' "$dir/compile_commands.json") - broken))
  finish "$passed" "$failed"
}

# run_fuzz SECONDS: new inputs are kept in build-fuzz/corpus, findings in build-fuzz/findings.
run_fuzz() {
  local dir=$root/build-fuzz source name seeds log passed=0 failed=0
  configure "$dir" -DCMAKE_CXX_COMPILER=clang++ -DZAYA_TESTS=ON -DZAYA_FUZZ=ON -DZAYA_WEB=OFF
  build_or_finish "$dir" fuzzers
  mkdir -p "$dir/findings"
  for source in "$root"/tests/fuzz/*.cpp; do
    [[ -e $source ]] || break
    name=$(basename "$source" .cpp)
    seeds=$root/tests/fuzz/corpus/$name log=$dir/$name.log
    mkdir -p "$dir/corpus/$name"
    if "$dir/bin/fuzz_$name" -max_total_time="$1" -timeout=10 -rss_limit_mb=2048 \
      -print_final_stats=1 -artifact_prefix="$dir/findings/$name-" \
      "$dir/corpus/$name" "$seeds" >"$log" 2>&1; then
      passed=$((passed + 1))
      printf 'fuzz_%s: %s inputs, nothing found\n' "$name" \
        "$(awk '/number_of_executed_units/ { print $2 }' "$log")"
    else
      failed=$((failed + 1))
      printf 'fuzz_%s failed:\n' "$name"
      tail -n 60 "$log"
    fi
  done
  finish "$passed" "$failed"
}
