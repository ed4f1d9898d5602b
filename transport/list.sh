# Lists the workspace. ROOT RUNTIME ID SINCE NEW PRINTF [NAME...]: NAMEs are
# find patterns to leave out. Prints empty lines while it works, so that silence
# tells a sandbox that is gone, and then "gone", or "same" when nothing differs
# from the listing SINCE (NEW is not kept), or "full" and all records, or
# "delta" and records that begin with + or -. Keeps the listings SINCE and NEW.
# Another listing, whose caller gave up, may run at the same time and remove our
# files: then the answer is "busy", and never a short listing. Nor is it short
# when a part of it was killed: "failed" says why.
root=$1 rt=$2 id=$3 since=$4 new=$5 printf=$6
shift 6
TZ=UTC
export TZ
cd "$root" 2>/dev/null || { echo gone; exit 0; }
s=$rt/.session-$id
[ "$(cat "$s/mark" 2>/dev/null)" = "$id" ] || { echo gone; exit 0; }
(while sleep 3 >/dev/null; do echo; done) 2>/dev/null &
beat=$!
say() {
	kill "$beat" 2>/dev/null
	wait "$beat" 2>/dev/null
	echo "$1"
}
# Ended by a signal, STATUS of a command does not tell what it left out.
killed() {
	[ "$1" -lt 124 ] || echo "$2 was killed or could not be run" >&2
}
n=$#
while [ "$n" -gt 0 ]; do
	set -- "$@" -o -name "$1"
	shift
	n=$((n - 1))
done
out=$s/list.$new.part errors=$s/list.$new.errors
{
	{
		find . -mindepth 1 \( -path "./$rt" "$@" \) -prune -o ! -path . \
			-print0
		killed $? find
	} | xargs -0 -r stat -c 'E %f %s %y %z %i %n' --
	killed $? xargs
	if [ "$printf" = yes ]; then
		find . -mindepth 1 \( -path "./$rt" "$@" \) -prune -o \
			-type l -printf 'L %p//%l\n'
		killed $? find
	else
		find . -mindepth 1 \( -path "./$rt" "$@" \) -prune -o \
			-type l -exec sh -c 'for p; do
			printf "L %s//" "$p"; readlink "$p"; done' sh {} +
		killed $? find
	fi
	find . -mindepth 1 \( -path "./$rt" "$@" \) -prune -o ! -path . -type d \
		-exec sh -c 'for p; do
		[ -r "$p" ] && [ -x "$p" ] || printf "U %s\n" "$p"; done' \
		sh {} +
	killed $? find
	echo Z
} 2>"$errors" >"$out" || { say "failed no space for the listing"; exit 0; }
[ -f "$errors" ] || { say busy; exit 0; }
bad=$(grep -v -e 'Permission denied' -e 'No such file' "$errors" |
	sed -n 1p)
[ -z "$bad" ] || { say "failed $bad"; exit 0; }
rm -f "$errors"
odd=$(find . -mindepth 1 \( -path "./$rt" "$@" \) -prune -o -name '*
*' -print | sed -n 1p)
if [ -z "$odd" ]; then
	sort "$out" >"$s/list.$new" 2>/dev/null || {
		[ -f "$out" ] && say "failed to sort the listing" || say busy
		exit 0
	}
	rm -f "$out"
else
	mv "$out" "$s/list.$new" 2>/dev/null || { say busy; exit 0; }
fi
if [ -n "$since" ] && cmp -s "$s/list.$since" "$s/list.$new" 2>/dev/null; then
	rm -f "$s/list.$new"
	say same
	echo Z
	exit 0
fi
# The newest may be of a listing beside this one.
for f in $(cd "$s" && ls -t | sed -n '/^list\./p' | sed 1,6d); do
	[ "$f" = "list.$new" ] || [ "$f" = "list.$since" ] || rm -f "$s/$f"
done
if [ -n "$since" ] && [ -z "$odd" ] && [ -f "$s/list.$since" ] &&
	[ ! -f "$s/odd.$since" ] && command -v comm >/dev/null 2>&1; then
	say delta
	comm -23 "$s/list.$since" "$s/list.$new" | sed 's/^/-/'
	comm -13 "$s/list.$since" "$s/list.$new" | sed 's/^/+/'
	[ -f "$s/list.$since" ] && [ -f "$s/list.$new" ] && echo Z
else
	[ -z "$odd" ] || : >"$s/odd.$new"
	say full
	cat "$s/list.$new"
fi
