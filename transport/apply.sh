# Applies one batch. ROOT RUNTIME ID NUMBER; the batch is a tar on standard
# input: t/N/PATH are contents, c/do the commands, c/files and c/dirs the paths
# to be checked, c/want-files and c/want-dirs what they must look like, c/parents
# what must be no link, c/below what to look at as well when something differs,
# c/touched the paths to read back. Prints a word and then records:
#   gone | failed WHY | other RECORDS (nothing was done) | done RECORDS
root=$1 rt=$2 id=$3 n=$4
TZ=UTC
export TZ
cd "$root" 2>/dev/null || { cat >/dev/null; echo gone; exit 0; }
s=$rt/.session-$id
[ "$(cat "$s/mark" 2>/dev/null)" = "$id" ] ||
	{ cat >/dev/null; echo gone; exit 0; }
# One batch at a time: one whose caller gave up may still run, and must not go
# on after ours. Its input has ended, so that it takes moments; who was killed
# in his turn loses it.
turn=$s/turn tries=0
until mkdir "$turn" 2>/dev/null; do
	tries=$((tries + 1))
	holder=$(cat "$turn/pid" 2>/dev/null)
	if { [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; } ||
		{ [ -z "$holder" ] && [ "$tries" -gt 20 ]; } ||
		[ "$tries" -gt 300 ]; then
		mv "$turn" "$turn.$$" 2>/dev/null && rm -rf "$turn.$$"
		[ "$tries" -lt 400 ] || {
			cat >/dev/null
			echo "failed no turn in $s"
			exit 0
		}
		continue
	fi
	sleep 0.1 2>/dev/null || sleep 1
done
trap 'rm -rf "$turn"' EXIT
fail() {
	rm -rf "$s/stage" "$s/checked"
	echo "failed $*"
	exit 0
}
echo $$ >"$turn/pid"
last=$(cat "$s/done" 2>/dev/null)
if [ "$last" = "$n" ]; then
	cat >/dev/null
	cat "$s/result"
	rm -rf "$s/stage"
	exit 0
elif [ "${last:-0}" -gt "$n" ]; then
	# Somebody between us repeats what was sent long ago.
	cat >/dev/null
	echo "failed batch $last was done before batch $n"
	exit 0
fi
c=$s/stage/c again=
if [ "$(cat "$s/checked" 2>/dev/null)" = "$n" ] && [ -f "$c/do" ]; then
	# Cut while it was applied: what is still staged is what is to be done.
	cat >/dev/null
	again=1
else
	rm -rf "$s/stage" "$s/checked"
	mkdir -p "$s/stage" || { cat >/dev/null; fail no staging; }
	why=$(tar -C "$s/stage" -xpof - 2>&1) ||
		{ cat >/dev/null; fail "$why"; }
	[ -f "$c/do" ] || fail the batch arrived cut off
	xargs -0 -r stat -c 'E %f %s %y %z %i %n' -- <"$c/files" \
		>"$c/now-files" 2>/dev/null
	xargs -0 -r stat -c 'D %f %n' -- <"$c/dirs" >"$c/now-dirs" 2>/dev/null
	xargs -0 -r sh -c 'for p; do
		if [ -L "$p" ] || { [ -e "$p" ] && [ ! -d "$p" ]; }; then
			stat -c "D %f %n" -- "$p"
		fi
	done' sh <"$c/parents" >"$c/now-parents" 2>/dev/null
	if [ -s "$c/now-parents" ] ||
		! cmp -s "$c/now-files" "$c/want-files" ||
		! cmp -s "$c/now-dirs" "$c/want-dirs"; then
		echo other
		cat "$c/now-files" "$c/now-dirs" "$c/now-parents"
		xargs -0 -r stat -c 'E %f %s %y %z %i %n' -- <"$c/below" \
			2>/dev/null
		rm -rf "$s/stage"
		exit 0
	fi
	# What a first prepare found in the workspace is kept for good.
	if [ -f "$s/keep" ] && [ -d "$s/old" ]; then
		mkdir -p "$rt/replaced-$id" &&
			mv "$s/old" "$rt/replaced-$id/$(cat "$s/keep")" ||
			fail what was replaced could not be kept
	fi
	rm -rf "$s/old" "$s/keep"
	[ ! -f "$c/keep" ] || echo "$n" >"$s/keep" || fail no space
	# Written beforehand: the disk may be full afterwards.
	echo "$n" >"$s/done.new" && echo "$n" >"$s/checked" || fail no space
fi
sh "$c/do" "$s" $again >"$s/errors" 2>&1
finished=
{
	echo done
	xargs -0 -r stat -c 'E %f %s %y %z %i %n' -- <"$c/touched" 2>/dev/null
	if [ -d "$s/old" ]; then
		(cd "$s/old" && find . -type f -print0 |
			xargs -0 -r stat -c 'O %f %s %y %z %i %n' --)
	fi
	sed -n '1,20s/^/X /p' "$s/errors"
	echo Z
} >"$s/result" && mv "$s/done.new" "$s/done" && finished=1
cat "$s/result"
[ -z "$finished" ] || rm -rf "$s/stage"
