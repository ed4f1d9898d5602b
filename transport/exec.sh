# Runs a command for a person. ROOT RUNTIME ID KEY DIR CMD [ARG...]: in ROOT/DIR,
# as the leader of a session of its own where there is setsid. KEY names its two
# files: .pid for signals, .lease to be written anew (lease.sh) while somebody
# listens. When the lease grows old or our shell is gone, the group is ended; so
# is what the command leaves in its group. Exits with the command's code; 255:
# it was not run.
cd "$1" 2>/dev/null &&
	[ "$(cat "$2/.session-$3/mark" 2>/dev/null)" = "$3" ] || {
	echo "sandmount: exec: the workspace is gone or another than before;" \
		"see \`sandmount status\`" >&2
	exit 255
}
f=$PWD/$2/.session-$3/exec-$4
cd "./$5" 2>/dev/null || {
	echo "sandmount: exec: the sandbox has no directory for this one;" \
		"go to another directory" >&2
	exit 255
}
shift 5
end_group() {
	p=$(cat "$f.pid" 2>/dev/null)
	rm -f "$f.pid" "$f.lease"
	[ -n "$p" ] || return 0
	kill -s TERM -- "-$p" || return 0
	kill -s CONT -- "-$p"
	kill -s 0 -- "-$p" || return 0
	sleep 1
	kill -s KILL -- "-$p"
}
echo 0 >"$f.lease" || {
	echo "sandmount: exec: the sandbox's disk refuses our files" >&2
	exit 255
}
exec 3>&2 2>/dev/null
(
	was= n=0
	while sleep 2; do
		now=$(cat "$f.lease") || exit 0
		if [ "$now" = "$was" ]; then n=$((n + 1)); else n=0; fi
		was=$now
		[ "$n" -lt 30 ] && kill -s 0 $$ || break
	done
	end_group
) </dev/null >/dev/null 3>&- &
w=$!
g=
command -v setsid >/dev/null && g=setsid
# In a subshell, so that our shell's own "Killed" goes nowhere.
(
	exec 2>&3 3>&-
	exec $g sh -c 'echo $$ >"$0.pid"; exec "$@"' "$f" "$@"
)
code=$?
kill "$w"
end_group
exit $code
