# Removes our session directory, but for what a first prepare found in the
# workspace. ROOT RUNTIME ID
cd "$1" 2>/dev/null || exit 0
s=$2/.session-$3
if [ -f "$s/keep" ] && [ -d "$s/old" ]; then
	mkdir -p "$2/replaced-$3" &&
		mv "$s/old" "$2/replaced-$3/$(cat "$s/keep")" || exit 1
fi
rm -rf "$s"
