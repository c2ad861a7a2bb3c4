#!/usr/bin/env bash
# Fails when a source file isn't as clang-format 14 would write it. With --fix it rewrites them.
set -euo pipefail
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

# Debian 12's version; others break lines differently.
formatter=clang-format
if command -v clang-format-14 >/dev/null; then formatter=clang-format-14; fi
version=$("$formatter" --version | grep -o 'version [0-9]*')
if [[ $version != "version 14" ]]; then
  echo "format_check: clang-format 14 needed, found $version" >&2
  exit 1
fi

# Without git (an unpacked archive) all files outside the build folder count.
list_files() {
  git ls-files -z --cached --others --exclude-standard -- '*.h' '*.hpp' '*.c' '*.cc' '*.inc' 2>/dev/null ||
    find . -path ./build -prune -o -path ./.git -prune -o -type f \
      \( -name '*.h' -o -name '*.hpp' -o -name '*.c' -o -name '*.cc' -o -name '*.inc' \) -print0
}

case ${1:-} in
  "") mode=(--dry-run -Werror) ;;
  --fix) mode=(-i) ;;
  *)
    echo "usage: scripts/format_check.sh [--fix]" >&2
    exit 2
    ;;
esac
files=()
while IFS= read -r -d '' file; do
  [[ ! -f $file ]] || files+=("$file")
done < <(list_files)
if ((${#files[@]} == 0)); then
  echo "format_check: no files found" >&2
  exit 1
fi
printf '%s\0' "${files[@]}" | xargs -0 -n 16 -P "$(nproc)" "$formatter" "${mode[@]}"
echo "format_check: ${#files[@]} files"
