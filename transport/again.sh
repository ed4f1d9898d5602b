# Runs list.sh, which an earlier call left in our directory, so that what is
# asked often is a short command. ROOT RUNTIME ID TEXT ...: TEXT is the script,
# to be left there, or empty. Prints "gone", or "lost" when there is no script.
cd "$1" 2>/dev/null && [ "$(cat "$2/.session-$3/mark" 2>/dev/null)" = "$3" ] ||
	{ echo gone; exit 0; }
sm_f=./$2/.session-$3/script
[ -z "$4" ] || printf '%s\n' "$4" >"$sm_f" ||
	{ echo "failed no space for a script"; exit 0; }
[ -f "$sm_f" ] || { echo lost; exit 0; }
sm_1=$1 sm_2=$2 sm_3=$3
shift 4
set -- "$sm_1" "$sm_2" "$sm_3" "$@"
. "$sm_f"
