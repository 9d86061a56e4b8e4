#!/bin/sh
# Finds out by trying what this system lacks for the build, says so, and installs just that.
#
#   scripts/setup.sh                 install what is missing
#   scripts/setup.sh --check         only say what is missing (status 1 if the build would fail)
#   scripts/setup.sh --list MANAGER  every package the build needs from apt, dnf, pacman or brew
#   scripts/setup.sh --vulkan        also what the Vulkan module needs, and a software device
#
# Status: 0 ready, 1 something is missing, 2 nothing this script can do about it.
# A Rust toolchain is expected, not installed. SETUP_ROOT=DIR looks for files below DIR (for tests).
set -eu

root=${SETUP_ROOT-}
vulkan=
hwloc_least=2.4
cmake_least=3.14

# What the build needs, and the package that brings it. `none`: not needed on that system.
# `tools`: part of Apple's Command Line Tools.
packages() {
    cat <<'TABLE'
# need        apt                dnf            pacman      brew
cc            build-essential    gcc            gcc         tools
c++           build-essential    gcc-c++        gcc         tools
cmake         cmake              cmake          cmake       cmake
ninja         ninja-build        ninja-build    ninja       ninja
pkg-config    pkg-config         pkgconf        pkgconf     pkgconf
libclang      libclang-dev       clang-devel    clang       llvm
hwloc         libhwloc-dev       hwloc-devel    hwloc       hwloc
libudev       libudev-dev        systemd-devel  systemd     none
ccache        ccache             ccache         ccache      ccache
TABLE
    [ -z "$vulkan" ] || cat <<'TABLE'
vulkan        libvulkan-dev      vulkan-loader-devel  vulkan-icd-loader  vulkan-loader
glslc         glslc              glslc                shaderc            shaderc
spirv-headers spirv-headers      spirv-headers-devel  spirv-headers      spirv-headers
vulkan-device mesa-vulkan-drivers mesa-vulkan-drivers vulkan-swrast      none
TABLE
}

needs() { packages | awk '!/^#/ { print $1 }'; }

# package_of MANAGER NEED
package_of() {
    packages | awk -v manager="$1" -v need="$2" '
        /^#/ { for (i = 3; i <= NF; i++) if ($i == manager) column = i - 1; next }
        $1 == need && column { print $column }'
}

say() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
is_macos() { [ "$(uname -s)" = Darwin ]; }

# at_least FOUND WANTED: compares the first two numbers of two versions.
at_least() {
    awk -v found="$1" -v wanted="$2" 'BEGIN {
        split(found, f, "."); split(wanted, w, ".")
        exit !(f[1] + 0 > w[1] + 0 || (f[1] + 0 == w[1] + 0 && f[2] + 0 >= w[2] + 0)) }'
}

# A compiler counts when it turns a program into one that links, so its headers are there too.
# compiles COMPILER LANGUAGE PROGRAM [FLAG]
compiles() {
    have "$1" || return 1
    scratch=$(mktemp -d) || return 1
    status=0
    printf '%b\n' "$3" | "$1" ${4:+"$4"} -x "$2" - -o "$scratch/program" >/dev/null 2>&1 || status=1
    rm -rf "$scratch"
    return $status
}

# Folders that bindgen's loader looks into as well (clang-sys), the user's own first.
libclang_folders() {
    printf '%s\n' "${LIBCLANG_PATH-}"
    for config in llvm-config "$root"/usr/lib/llvm*/bin/llvm-config; do
        if have "$config"; then "$config" --libdir 2>/dev/null || true; fi
    done
    for folder in "$root"/usr/lib/llvm*/lib "$root"/usr/lib*/llvm*/lib* "$root"/usr/lib64 \
        "$root"/usr/lib "$root"/usr/lib/*-linux-gnu* "$root"/usr/local/lib \
        "$root"/opt/homebrew/opt/llvm/lib "$root"/usr/local/opt/llvm/lib \
        "$root"/Library/Developer/CommandLineTools/usr/lib \
        "$root"/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib; do
        printf '%s\n' "$folder"
    done
}

has_libclang() {
    libclang_folders | while IFS= read -r folder; do
        [ -n "$folder" ] || continue
        for library in "$folder"/libclang.so* "$folder"/libclang-[0-9]*.so* "$folder"/libclang.dylib; do
            if [ -e "$library" ]; then echo found; break 2; fi
        done
    done | grep -q found
}

# The library alone parses nothing: `stddef.h` and its kin come with the compiler's own headers.
has_clang_headers() {
    for header in "$root"/usr/lib/llvm*/lib/clang/*/include/stddef.h \
        "$root"/usr/lib*/clang/*/include/stddef.h "$root"/usr/local/lib/clang/*/include/stddef.h \
        "$root"/opt/homebrew/opt/llvm/lib/clang/*/include/stddef.h \
        "$root"/usr/local/opt/llvm/lib/clang/*/include/stddef.h \
        "$root"/Library/Developer/CommandLineTools/usr/lib/clang/*/include/stddef.h \
        "$root"/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib/clang/*/include/stddef.h; do
        if [ -e "$header" ]; then return 0; fi
    done
    if have clang; then [ -e "$(clang -print-resource-dir 2>/dev/null)/include/stddef.h" ]; else return 1; fi
}

has_file() {
    for file in "$@"; do
        if [ -e "$file" ]; then return 0; fi
    done
    return 1
}

have_library() {
    has_file "$root"/usr/lib/"$1".so "$root"/usr/lib64/"$1".so "$root"/usr/lib/*-linux-gnu*/"$1".so \
        "$root"/opt/homebrew/lib/"$1".dylib "$root"/usr/local/lib/"$1".dylib
}

# present NEED: whether the build would find it.
present() {
    case $1 in
        cc) compiles "${CC:-cc}" c '#include <stdio.h>\nint main(void) { return puts("") < 0; }' ;;
        c++) compiles "${CXX:-c++}" c++ '#include <optional>\nint main() { return std::optional<int>(0).value(); }' -std=c++17 ;;
        cmake) have cmake && at_least "$(cmake --version | awk 'NR == 1 { print $3 }')" "$cmake_least" ;;
        ninja) have ninja || have ninja-build ;;
        pkg-config) have pkg-config ;;
        libclang) has_libclang && has_clang_headers ;;
        hwloc) have pkg-config && pkg-config --atleast-version="$hwloc_least" hwloc ;;
        libudev) is_macos || { have pkg-config && pkg-config --exists libudev; } ;;
        ccache) have ccache ;;
        vulkan) have_library libvulkan ;;
        glslc) have glslc ;;
        spirv-headers) has_file "$root"/usr/share/cmake/SPIRV-Headers/SPIRV-HeadersConfig.cmake \
            "$root"/usr/*/cmake/SPIRV-Headers/SPIRV-HeadersConfig.cmake \
            "$root"/opt/homebrew/share/cmake/SPIRV-Headers/SPIRV-HeadersConfig.cmake ;;
        vulkan-device) is_macos || has_file "$root"/usr/share/vulkan/icd.d/*.json "$root"/etc/vulkan/icd.d/*.json ;;
        *) say "error: no test is written for the need \`$1\`"; exit 2 ;;
    esac
}

# What a human should know beyond the name.
describe() {
    case $1 in
        cmake) echo "cmake $cmake_least or newer" ;;
        libclang) echo "libclang with its own headers" ;;
        hwloc)
            found=$(pkg-config --modversion hwloc 2>/dev/null || true)
            echo "hwloc headers $hwloc_least or newer${found:+ (found $found, which is too old)}" ;;
        libudev) echo "libudev headers" ;;
        vulkan) echo "the Vulkan loader" ;;
        spirv-headers) echo "the SPIR-V headers" ;;
        vulkan-device) echo "a Vulkan driver (optional: Mesa's software device will do)" ;;
        ccache) echo "ccache (optional: makes the next build of llama.cpp short)" ;;
        *) echo "$1" ;;
    esac
}

missing() {
    for need in $(needs); do
        present "$need" || printf '%s\n' "$need"
    done
}

tell() {
    say "missing:"
    for need in "$@"; do say "  $(describe "$need")"; done
}

# True when one of the names is more than a convenience.
any_required() {
    for need in "$@"; do
        case $need in ccache | vulkan-device) ;; *) return 0 ;; esac
    done
    return 1
}

manager() {
    if is_macos; then if have brew; then echo brew; fi; return; fi
    for candidate in apt-get:apt dnf:dnf pacman:pacman; do
        if have "${candidate%%:*}"; then echo "${candidate##*:}"; return; fi
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif have sudo; then say "+ sudo $*"; sudo "$@"
    else say "error: installing packages needs root, and there is no sudo"
        say "hint: run as root: $*"; return 1
    fi
}

install_with() {
    chosen=$1
    shift
    case $chosen in
        apt)
            # The package lists are fetched only where they are absent or too old to serve.
            apt-get install --dry-run "$@" >/dev/null 2>&1 || as_root apt-get update
            apt_install "$@" || { as_root apt-get update && apt_install "$@"; } ;;
        dnf) as_root dnf install -y --setopt=install_weak_deps=False "$@" ;;
        pacman)
            # Without any package list this is a fresh system, which Arch wants whole or not at all.
            if ls "$root"/var/lib/pacman/sync/*.db >/dev/null 2>&1; then
                as_root pacman -S --needed --noconfirm "$@" \
                    || { say "hint: stale package lists? sudo pacman -Syu"; return 1; }
            else
                as_root pacman -Syu --needed --noconfirm "$@"
            fi ;;
        brew) NONINTERACTIVE=1 brew install "$@" ;;
    esac
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# packages_for MANAGER NEED...: each package once.
packages_for() {
    for_manager=$1
    shift
    for need in "$@"; do package_of "$for_manager" "$need"; done | grep -vx -e tools -e none | sort -u
}

require_command_line_tools() {
    is_macos || return 0
    xcode-select -p >/dev/null 2>&1 && return 0
    say "error: Apple's Command Line Tools are missing"
    say "hint: xcode-select --install"
    exit 2
}

require_cargo() {
    have cargo && return 0
    say "error: cargo is missing: a Rust toolchain is the one thing this script does not install"
    if [ -x "${HOME-}/.cargo/bin/cargo" ]; then
        # shellcheck disable=SC2016 # to be expanded by the reader's shell
        say 'hint: it is installed but not on the PATH: . "$HOME/.cargo/env"'
    else
        say "hint: https://rustup.rs installs it"
    fi
    exit 2
}

list() {
    case $1 in
        apt | dnf | pacman | brew) for need in $(needs); do echo "$need $(package_of "$1" "$need")"; done ;;
        *) say "error: \`$1\` is not apt, dnf, pacman or brew"; exit 2 ;;
    esac
}

set_up() {
    # shellcheck disable=SC2046 # names without blanks
    set -- $(missing)
    [ $# -gt 0 ] || return 0
    tell "$@"
    chosen=$(manager)
    if [ -z "$chosen" ]; then
        any_required "$@" || return 0
        say "error: this system has none of apt, dnf, pacman and brew; install the above by its own means"
        exit 2
    fi
    # shellcheck disable=SC2046 # names without blanks
    set -- $(packages_for "$chosen" "$@")
    if [ $# -gt 0 ]; then
        say "installing with $chosen: $*"
        install_with "$chosen" "$@" >&2 </dev/null || say "the installation failed; looking at what is there now"
    fi
    # shellcheck disable=SC2046 # names without blanks
    set -- $(missing)
    any_required "$@" || return 0
    tell "$@"
    say "error: the packages of this system do not bring what is missing"
    exit 1
}

if [ "${1-}" = --vulkan ]; then
    vulkan=yes
    shift
fi
case ${1-} in
    "") require_command_line_tools; require_cargo; set_up ;;
    --check)
        # shellcheck disable=SC2046 # names without blanks
        set -- $(missing)
        if [ $# -gt 0 ]; then tell "$@"; fi
        require_cargo
        if any_required "$@"; then exit 1; fi ;;
    --list) list "${2-}" ;;
    *) say "usage: scripts/setup.sh [--vulkan] [--check | --list MANAGER]"; exit 2 ;;
esac
