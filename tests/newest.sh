#!/bin/sh
# Runs its arguments in Debian sid, in a copy of this checkout there: with the newest shells and the
# newest Python. The tree, .newest, is made once, by debootstrap, which asks for no more than a
# signature: sid's Release file may be past its date. Wants root.
set -eu
cd "$(dirname "$0")/.."
tree=$PWD/.newest
copy=$tree/checkout
tools=direnv,fish,git,procps,shellcheck,shfmt,strace,tmux,zoxide,zsh

if [ ! -e "$tree/ready" ]; then
    command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap
    rm -rf "$tree"
    debootstrap --variant=minbase --include="ca-certificates,make,python3-venv,$tools" sid "$tree"
    touch "$tree/ready"
fi
# What this machine needs to reach a package registry, it needs in there too.
cp -L /etc/resolv.conf /etc/hosts "$tree/etc"
cp -L /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs"

mkdir -p "$copy"
find "$copy" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard | tar --ignore-failed-read --null -T - -cf - | tar -C "$copy" -xf -

# In a root that is no chroot, since none of those may make a user namespace, as tests do.
# shellcheck disable=SC2016
exec nice unshare --mount --pid --fork --kill-child sh -euc '
    mount --bind "$0" "$0"
    cd "$0"
    mount --rbind /dev dev
    mount -t proc proc proc
    mount -t sysfs sys sys
    mount -t tmpfs tmp tmp
    pivot_root . mnt
    umount -l /mnt
    cd /checkout
    exec env -i HOME=/root TERM=xterm LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
' "$tree" "$@"
