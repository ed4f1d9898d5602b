# Goes before every other script: ROOT RUNTIME ID ... with sm_least set. A
# workspace whose last batch is before the last one that we know to be done is
# an older state of itself, from a snapshot: none of what differs is news. No
# process is started for it, as every look at the sandbox passes here.
[ ! -f "$1/$2/.session-$3/mark" ] || {
	read -r sm_done <"$1/$2/.session-$3/done" &&
		[ "$sm_done" -ge "$sm_least" ]
} 2>/dev/null || { cat >/dev/null; exit 82; }
