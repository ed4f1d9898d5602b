# Whether the workspace is still ours. ROOT RUNTIME ID
cd "$1" 2>/dev/null && [ "$(cat "$2/.session-$3/mark" 2>/dev/null)" = "$3" ] ||
	exit 81
