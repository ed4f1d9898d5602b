# Prints sha256sum's lines for the files named on standard input.
# ROOT RUNTIME ID
cd "$1" 2>/dev/null || exit 81
[ "$(cat "$2/.session-$3/mark" 2>/dev/null)" = "$3" ] || exit 81
xargs -0 -r sha256sum 2>/dev/null
exit 0
