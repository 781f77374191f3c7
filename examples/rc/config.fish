# ~/.config/fish/config.fish with llmenv and the other tools that work at the prompt.
# Keep the lines of the tools you have; a tool that is not installed is passed over.

# Whatever puts programs on PATH comes first: the lines below start them, llmenv too.
test -d ~/.local/bin; and fish_add_path ~/.local/bin

if status is-interactive
    # mise before what it installs, which may be any of the following.
    command -q mise; and mise activate fish | source

    command -q starship; and starship init fish | source
    command -q direnv; and direnv hook fish | source
    command -q zoxide; and zoxide init fish | source

    # llmenv reads and changes nothing of theirs: any place is right. Last, it slows none of them.
    llmenv hook fish | source
end
