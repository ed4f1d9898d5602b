# Sends the files named on standard input (each ending in NUL) as tar archives,
# one after the other. ROOT RUNTIME ID
cd "$1" 2>/dev/null || exit 81
[ "$(cat "$2/.session-$3/mark" 2>/dev/null)" = "$3" ] || exit 81
# GNU tar takes backslashes in names for escapes unless told otherwise.
q=
tar --no-unquote -cf /dev/null "$2/.gitignore" 2>/dev/null && q=--no-unquote
xargs -0 -r -n 500 tar $q -cf - 2>/dev/null
exit 0
