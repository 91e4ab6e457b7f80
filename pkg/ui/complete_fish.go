package ui

// fishScript tells fish of each flag, and fish does the rest. A flag with two dashes is one of its own, which is not
// offered where one dash was typed.
const fishScript = `# Completes the flags and arguments of <<.Name>> in fish. For this shell:
#   <<.Name>> -completion fish | source

function _<<.Function>>_two_dashes
    not string match --quiet --regex '^-($|[^-])' -- (commandline --current-token --cut-at-cursor)
end
<<if .HostsFlag>>
# _<<.Function>>_no_host tells whether there is no argument before the cursor yet.
function _<<.Function>>_no_host
    set --local words (commandline --current-process --tokenize --cut-at-cursor)
    set --erase words[1]
    while set --query words[1]
        set --local word $words[1]
        set --erase words[1]
        if test "$word" = --
            not set --query words[1]
            return
        end
        switch "$word"
            case '-*=*'
            case -
                return 1
            case '-*'
                if not contains -- (string replace --regex '^--?' '' -- $word) <<join .NoValue " ">>
                    set --query words[1]
                    or return # its value is at the cursor
                    set --erase words[1]
                end
            case '*'
                return 1
        end
    end
end
<<end>>
complete --command <<.Name>> --no-files
<<- if .HostsFlag>>
complete --command <<.Name>> --condition _<<.Function>>_no_host --arguments '(command <<.Name>> -<<.HostsFlag>> 2>/dev/null)' --description 'named host'
complete --command <<.Name>> --condition _<<.Function>>_no_host --arguments '(__fish_print_hostnames)' --description host
<<- end>>
<<range .Flags>>
complete --command <<$.Name>> --old-option <<.Name>> <<template "value" .>>
complete --command <<$.Name>> --condition _<<$.Function>>_two_dashes --long-option <<.Name>> <<template "value" .>>
<<- end>>
<<define "value">>--description <<quote .Description>>
<<- if .Bool>>
<<- else if .Values>> --exclusive --arguments <<quote .FishValues>>
<<- else if eq .Word "FILE">> --require-parameter --force-files
<<- else if eq .Word "DIRECTORY">> --exclusive --arguments '(__fish_complete_directories)'
<<- else if eq .Word "INTERFACE">> --exclusive --arguments '(__fish_print_interfaces)'
<<- else if eq .Word "HOST">> --exclusive --arguments '(__fish_print_hostnames)'
<<- else>> --exclusive
<<- end>><<end>>`
