# fish completion of sandmount: the program's own help is the list, so that it
# is never out of date.
function __sandmount_commands
    sandmount --help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\)  *\(.*\)/\1\t\2/p'
end
function __sandmount_options
    set -l words (commandline -opc)
    sandmount $words[2] --help 2>/dev/null |
        sed -n 's/^  \(-[a-z], \)*\(--[a-z][a-z-]*\)[^ ]*  *\(.*\)/\2\t\3/p'
end
function __sandmount_sessions
    sandmount list 2>/dev/null |
        sed -n 's/^\([A-Za-z0-9._-]*\)  *\([a-z]*\) .*/\1\t\2/p'
end
function __sandmount_providers
    sandmount mount --help 2>/dev/null |
        sed -n 's/^Providers: //p' | sed 's/ /:\n/g; s/$/:/'
end
function __sandmount_first
    test (count (commandline -opc)) -eq 1
end
function __sandmount_takes_sandbox
    set -l words (commandline -opc)
    contains -- "$words[2]" mount prepare doctor spec
end
complete -c sandmount -n __sandmount_first -f -a '(__sandmount_commands)'
complete -c sandmount -n __sandmount_first -f -a '--help --version'
complete -c sandmount -n 'not __sandmount_first; and string match -q -- "-*" (commandline -ct)' -f -a '(__sandmount_options)'
complete -c sandmount -n 'not __sandmount_first; and not __sandmount_takes_sandbox' -f -a '(__sandmount_sessions)'
complete -c sandmount -n __sandmount_takes_sandbox -a '(__sandmount_providers)'
