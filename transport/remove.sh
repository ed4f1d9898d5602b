# Removes our session directory. ROOT RUNTIME ID
cd "$1" 2>/dev/null || exit 0
rm -rf "$2/.session-$3"
