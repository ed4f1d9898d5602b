# Sends a signal to the process group of a command that exec.sh runs, once it
# does. ROOT RUNTIME ID KEY SIGNAL
cd "$1" 2>/dev/null || exit 81
f=$2/.session-$3/exec-$4
n=0
while [ ! -s "$f.pid" ] && [ "$n" -lt 10 ]; do
	sleep 1
	n=$((n + 1))
done
p=$(cat "$f.pid" 2>/dev/null)
[ -n "$p" ] || exit 1
kill -s "$5" -- "-$p" 2>/dev/null || kill -s "$5" "$p" 2>/dev/null
exit 0
