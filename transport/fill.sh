# Sends the files named on standard input (each ending in NUL) as tar archives,
# and in a last archive what stat said of them before (WORD.a) and after
# (WORD.b) they were read. ROOT RUNTIME ID WORD
cd "$1" 2>/dev/null || exit 81
s=$2/.session-$3
[ "$(cat "$s/mark" 2>/dev/null)" = "$3" ] || exit 81
TZ=UTC
export TZ
f=$s/fill.$4
q=
tar --no-unquote -cf /dev/null "$2/.gitignore" 2>/dev/null && q=--no-unquote
trap 'rm -f "$f" "$f.a" "$f.b"' EXIT
look() {
	{
		xargs -0 -r stat -c 'E %f %s %y %z %i %n' -- <"$f" 2>/dev/null
		echo Z
	} >"$1"
}
cat >"$f" && look "$f.a" || { echo "no space for a list" >&2; exit 1; }
xargs -0 -r -n 500 tar $q -cf - <"$f" 2>/dev/null
look "$f.b" || { echo "no space for a list" >&2; exit 1; }
tar $q -cf - "$f.a" "$f.b"
