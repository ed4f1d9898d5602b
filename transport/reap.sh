# Ends what calls left running in the sandbox. NAME: the call whose process id
# is in the temporary file of that name. NAME "lifeline": TOKEN is the second
# word; says "up", and waits until its input ends (the connection was closed or
# cut, or the other side died) and ends every call of that token.
reap() {
	f=$1
	p=$(cat "$f" 2>/dev/null)
	case $p in '' | *[!0-9]*) return ;; esac
	# The number may be another process's by now.
	[ ! -r "/proc/$p/cmdline" ] ||
		grep -q "${f##*.sandmount-}" "/proc/$p/cmdline" || p=
	[ -z "$p" ] || { kill -0 "-$p" 2>/dev/null && p=-$p; }
	i=0
	[ -z "$p" ] || kill -TERM "$p" 2>/dev/null
	while [ -n "$p" ] && kill -0 "$p" 2>/dev/null && [ $i -lt 10 ]; do
		sleep 0.1 2>/dev/null || sleep 1
		i=$((i + 1))
	done
	[ -z "$p" ] || kill -KILL "$p" 2>/dev/null
	rm -f "$f"
}
t=${TMPDIR:-/tmp}/.sandmount-
reap_all() {
	for g in "$t$1"-*; do
		[ ! -f "$g" ] || reap "$g"
	done
}
if [ "$1" = lifeline ]; then
	trap '' HUP PIPE
	# From here on this connection is the one that counts: what runs over an
	# earlier one is ended, and that one's lifeline has no more say, however
	# late its end is noticed.
	echo $$ >"$t$2.up"
	reap_all "$2"
	echo "sandmount:$2:up"
	cat >/dev/null
	exec >/dev/null 2>&1
	# Twice, for a call that was just being started.
	for n in 1 2; do
		[ "$(cat "$t$2.up")" = $$ ] || exit 0
		reap_all "$2"
		[ $n = 2 ] || sleep 1
	done
	rm -f "$t$2.up"
	exit 0
fi
j=0
while [ ! -s "$t$1" ] && [ $j -lt 5 ]; do
	sleep 0.1 2>/dev/null || sleep 1
	j=$((j + 1))
done
reap "$t$1"
