#!/bin/sh
# Finds Vulkan headers that are new enough for llama.cpp's module, and prints their folder; prints
# nothing where the system's own will do.
#
#   scripts/vulkan-headers.sh FOLDER
#
# Debian 12 has 1.3.239, which lacks vk::LayerSettingEXT. There the headers of a newer Debian suite
# are fetched by apt, which checks their signature, and unpacked below FOLDER. Nothing is installed,
# and the system's own package lists stay as they are.
set -eu

suite=${VULKAN_SUITE-trixie}
folder=${1:?usage: scripts/vulkan-headers.sh FOLDER}
header=vulkan/vulkan_structs.hpp

say() { printf '%s\n' "$*" >&2; }
enough() { [ -e "$1/$header" ] && grep -q LayerSettingEXT "$1/$header"; }

for include in ${VULKAN_SDK:+"$VULKAN_SDK/include"} /usr/include /usr/local/include /opt/homebrew/include; do
    if enough "$include"; then exit 0; fi
done
if enough "$folder/include"; then
    cd "$folder/include" && pwd
    exit 0
fi
keys=/usr/share/keyrings/debian-archive-keyring.gpg
if ! command -v apt-get >/dev/null 2>&1 || [ ! -e "$keys" ]; then
    say "error: the Vulkan headers here are missing or too old (vk::LayerSettingEXT, since 1.3.272)"
    say "hint: install newer ones, for example the Vulkan SDK, and set VULKAN_SDK"
    exit 1
fi

mirror=$(sed -n 's/^URIs: *\(http[^ ]*debian\)\/*$/\1/p; s/^deb .*\(http[^ ]*debian\)\/* .*/\1/p' \
    /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
mkdir -p "$folder"
apt=$(cd "$folder" && pwd)/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/parts"
echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian} $suite main" >"$apt/sources.list"
newer() {
    apt-get -q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts="$apt/parts" \
        -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o Acquire::Languages=none \
        -o APT::Sandbox::User="$(id -un)" "$@" >&2
}
say "fetching the Vulkan headers of Debian $suite"
newer update
(cd "$apt" && newer download libvulkan-dev)
dpkg-deb -x "$apt"/libvulkan-dev_*.deb "$apt/unpacked"
rm -rf "$folder/include"
mv "$apt/unpacked/usr/include" "$folder/include"
rm -rf "$apt"
if ! enough "$folder/include"; then
    say "error: the headers of Debian $suite are too old as well"
    exit 1
fi
cd "$folder/include" && pwd
