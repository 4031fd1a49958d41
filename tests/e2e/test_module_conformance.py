"""Under equal grants a module gets from each preview 1 function just what plain wasmtime-py answers: numbers of
descriptors, error numbers, what is written to its memory, traps, and the files that are left.

The programs cover what the wasi-testsuite checks. Where the answers differ by design, the program stands in
``DIFFERENT`` with the reason, and both answers are compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.harness import (
    ACROSS,
    LEADS_OUT,
    LINK_TARGET,
    PERMISSIONS,
    SPECIAL,
    UNGRANTED,
    Denial,
    Runner,
    by_name,
    read,
    write,
)
from tests.e2e.preview1 import Result, comparable, results, run_plain, run_sandboxed

PROGRAMS: dict[str, str] = {
    "arguments and environment": r"""
        args_sizes_get
        args_get
        environ_sizes_get
        environ_get
        args_sizes_get @space @space+4
        environ_get . .""",
    "preopened directories": r"""
        fd_prestat_get 0
        fd_prestat_get 2
        fd_prestat_get D
        fd_prestat_get R
        fd_prestat_get ROOT
        fd_prestat_get 6
        fd_prestat_get -1
        fd_prestat_dir_name D 2
        fd_prestat_dir_name D 0
        fd_prestat_dir_name D 1
        fd_prestat_dir_name D 3
        fd_prestat_dir_name ROOT 1
        fd_prestat_dir_name 6 10
        fd_prestat_dir_name 1 10
        d=path_open D 0 . DIR READ 0 0
        fd_prestat_get $d
        fd_prestat_dir_name $d 10""",
    "descriptors": r"""
        fd_fdstat_get 0
        fd_fdstat_get 1
        fd_fdstat_get 2
        fd_fdstat_get D
        fd_fdstat_get R
        fd_fdstat_get ROOT
        fd_fdstat_get 6
        fd_fdstat_get -1
        fd_fdstat_get 0x7fffffff
        f=path_open D 0 f CREAT READ+WRITE 0 0
        fd_fdstat_get $f
        a=path_open D 0 f 0 WRITE 0 APPEND
        fd_fdstat_get $a
        r=path_open D 0 f 0 READ 0 NONBLOCK
        fd_fdstat_get $r
        n=path_open D 0 f 0 0 0 0
        fd_fdstat_get $n
        s=path_open D 0 f 0 READ+WRITE ALL SYNC+DSYNC+RSYNC
        fd_fdstat_get $s
        d=path_open D 0 . DIR READ+READDIR ALL 0
        fd_fdstat_get $d
        fd_filestat_get 0
        fd_filestat_get 1
        fd_filestat_get 2
        fd_filestat_get D
        fd_filestat_get $d
        fd_filestat_get $f
        fd_filestat_get $n
        fd_filestat_get 77""",
    "interesting paths": r"""
        path_create_directory D dir
        path_create_directory D dir/nested
        f=path_open D 0 dir/nested/file CREAT READ+WRITE 0 0
        fd_close $f
        path_open D 0 dir/.//nested/../../dir/nested/../nested///./file 0 0 0 0
        path_open D 0 dir/nested/file\x00 0 0 0 0
        path_open D 0 dir\x00x/nested/file 0 0 0 0
        path_filestat_get D 0 a\x00b
        path_create_directory D a\x00b
        path_open D 0 dir/nested/file/ 0 0 0 0
        path_open D 0 dir/nested/file/// 0 0 0 0
        path_open D 0 dir/nested/file/. 0 0 0 0
        path_open D 0 dir/nested/file/.. 0 0 0 0
        path_open D 0 dir/nested/ 0 0 0 0
        path_open D 0 dir/nested/// 0 0 0 0
        path_open D 0 dir/nested/. DIR 0 0 0
        path_open D 0 dir/nested/.. DIR 0 0 0
        path_open D 0 '' 0 0 0 0
        path_open D 0 . 0 0 0 0
        path_open D 0 ./ 0 0 0 0
        path_open D 0 ./. DIR 0 0 0
        path_open D 0 dir/.. DIR 0 0 0
        path_open D 0 @0:0 0 0 0 0
        path_filestat_get D 0 ''
        path_create_directory D ''
        path_remove_directory D ''
        path_remove_directory D .
        path_unlink_file D ''
        path_unlink_file D .
        path_readlink D '' 10
        path_readlink D . 10
        path_rename D '' D x
        path_rename D dir D ''
        path_open D 0 none/x 0 0 0 0
        path_open D 0 none/../dir 0 0 0 0
        path_open D 0 dir/nested/file/../file 0 0 0 0
        path_open D 0 \xff 0 0 0 0
        path_open D 0 a\xc3\x28 CREAT WRITE 0 0
        path_filestat_get D 0 \xf0\x9f\x92
        path_create_directory D \xed\xa0\x80
        path_create_directory D \xe6\x97\xa5\xe6\x9c\xac
        path_filestat_get D 0 \xe6\x97\xa5\xe6\x9c\xac
        path_open D 0 LONG CREAT WRITE 0 0
        path_filestat_get D 0 dir/nested/file""".replace("LONG", "A" * 256),
    "out of the directory": r"""
        path_open D 0 .. 0 0 0 0
        path_open D 0 ../x CREAT WRITE 0 0
        path_open D 0 /d/x 0 0 0 0
        path_open D 0 / 0 0 0 0
        path_create_directory D s
        path_filestat_get D 0 s/../../x
        path_filestat_get D 0 s/..
        path_create_directory D ../new
        path_create_directory D /new
        path_remove_directory D ..
        path_unlink_file D ../x
        path_rename D ../a D b
        path_rename D s D ../b
        path_readlink D ../a 10
        path_filestat_set_times D 0 .. 0 0 ATIM
        s=path_open D 0 s DIR READ 0 0
        path_open $s 0 .. DIR READ 0 0
        path_filestat_get $s 0 ../s""",
    "creating": r"""
        f=path_open D 0 f CREAT READ+WRITE 0 0
        path_open D 0 f CREAT+EXCL READ+WRITE 0 0
        path_open D 0 f CREAT WRITE 0 0
        path_open D 0 g CREAT+EXCL 0 0 0
        path_open D 0 h CREAT READ 0 0
        path_open D 0 i CREAT+TRUNC 0 0 0
        path_open D 0 j CREAT+DIR READ 0 0
        path_open D 0 k CREAT+DIR+EXCL WRITE 0 0
        path_open D 0 l DIR+EXCL 0 0 0
        path_open D 0 m EXCL 0 0 0
        path_open D 0 f EXCL READ 0 0
        path_open D 0 none 0 READ 0 0
        path_open D 0 none TRUNC WRITE 0 0
        path_open D 0 f/x CREAT WRITE 0 0
        path_open D 0 none/x CREAT WRITE 0 0
        path_open D 0 new/ CREAT WRITE 0 0
        path_open $f 0 x 0 READ 0 0
        path_open $f 0 . 0 READ 0 0
        path_open 77 0 x 0 READ 0 0
        path_open 0 0 x 0 READ 0 0
        path_open 1 0 x CREAT WRITE 0 0
        path_create_directory $f x
        path_create_directory 77 x
        path_create_directory 1 x
        path_create_directory D dir
        path_create_directory D dir
        path_create_directory D dir/
        path_create_directory D new//
        path_create_directory D f
        path_create_directory D f/x
        path_create_directory D none/x
        path_create_directory D .
        path_open D 0 dir 0 READ 0 0
        path_open D 0 dir 0 WRITE 0 0
        path_open D 0 dir 0 READ+WRITE 0 0
        path_open D 0 dir DIR WRITE 0 0
        path_open D 0 dir DIR READ+WRITE ALL 0
        path_open D 0 dir DIR ALL ALL 0
        path_open D 0 dir TRUNC WRITE 0 0
        path_open D 0 dir CREAT WRITE 0 0
        path_open D 0 dir CREAT READ 0 0
        path_open D 0 dir DIR+TRUNC READ 0 0
        path_open D 0 dir 0 0 0 APPEND
        path_open D 0 f DIR READ 0 0
        path_open D 0 . 0 ALL ALL 0
        path_open D 0 . CREAT ALL ALL 0""",
    "rights decide how a file is opened": r"""
        f=path_open D 0 f CREAT READ+WRITE 0 0
        fd_write $f content
        r=path_open D 0 f 0 READ 0 0
        w=path_open D 0 f 0 WRITE 0 0
        n=path_open D 0 f 0 0 0 0
        s=path_open D 0 f 0 SEEK+TELL 0 0
        z=path_open D 0 f 0 SETSIZE 0 0
        a=path_open D 0 f 0 ALLOCATE 0 0
        fd_read $r 10
        fd_read $w 10
        fd_read $n 10
        fd_read $s 10
        fd_read $z 10
        fd_pread $w 10 0
        fd_write $r x
        fd_write $n x
        fd_write $z x
        fd_write $a x
        fd_pwrite $r x 0
        fd_tell $w
        fd_tell $n
        fd_seek $n 0 END
        fd_filestat_set_size $r 2
        fd_filestat_set_size $n 2
        fd_filestat_set_size $w 5
        fd_filestat_set_size $z 4
        fd_filestat_set_times $r 1 2 ATIM+MTIM
        fd_filestat_set_times $n 3 4 ATIM+MTIM
        fd_filestat_set_times $w 5 6 ATIM+MTIM
        fd_allocate $w 0 10
        fd_allocate $r 0 10
        fd_sync $r
        fd_datasync $r
        fd_sync $w
        fd_datasync $w
        fd_sync $n
        fd_fdstat_set_rights $f READ 0
        fd_fdstat_set_rights $f READ+WRITE 0
        fd_fdstat_set_rights $f ALL ALL
        fd_fdstat_set_rights $f 0 0
        fd_fdstat_set_rights D 0 0
        fd_fdstat_set_rights 77 0 0
        fd_fdstat_get $f
        fd_write $f more
        path_filestat_get D 0 f""",
    "truncating": r"""
        f=path_open D 0 f CREAT READ+WRITE 0 0
        fd_write $f 0123456789
        t=path_open D 0 f TRUNC WRITE 0 0
        fd_filestat_get $f
        fd_tell $f
        fd_write $f abc
        fd_pread $f 20 0
        path_open D 0 f TRUNC READ 0 0
        path_filestat_get D 0 f
        path_open D 0 f TRUNC 0 0 0
        path_filestat_get D 0 f
        path_open D 0 f TRUNC+CREAT SETSIZE 0 0
        fd_filestat_set_size $f 0
        fd_filestat_set_size $f 20
        fd_filestat_get $f
        fd_filestat_set_size D 0
        fd_filestat_set_size 1 0
        fd_filestat_set_size 77 0
        fd_allocate $f 0 100
        fd_allocate $f 100 100
        fd_allocate $f 0 0
        fd_allocate $f -1 10
        fd_allocate D 0 10
        fd_allocate 1 0 10
        fd_allocate 77 0 10
        fd_filestat_get $f""",
    "reading and writing": r"""
        f=path_open D 0 f CREAT READ+WRITE 0 0
        fd_write $f one|two||three
        fd_tell $f
        fd_pread $f 3|3|100 0
        fd_pread $f 100 5
        fd_pread $f 100 1000
        fd_pread $f 0 0
        fd_pread $f 10 -1
        fd_pread $f 10 0x7fffffffffffffff
        fd_pwrite $f XY 1
        fd_pwrite $f gap 20
        fd_pwrite $f '' 0
        fd_pwrite $f x -1
        fd_pwrite $f a|b|c 2
        fd_tell $f
        fd_seek $f 0 SET
        fd_read $f 4
        fd_read $f 2|2|2
        fd_read $f 0
        fd_read $f 0|3
        fd_tell $f
        fd_read $f 1000
        fd_read $f 10
        fd_read $f @0:0
        fd_write $f @0:0
        fd_read $f @space:0
        fd_write $f ''
        fd_write $f |||last
        fd_seek $f -4 CUR
        fd_read $f 10
        fd_read D 10
        fd_pread D 10 0
        fd_write D x
        fd_pwrite D x 0
        fd_read 77 10
        fd_write 77 x
        fd_pread 77 10 0
        fd_pwrite 77 x 0
        fd_write 0 x
        fd_read 1 10
        fd_read 2 10
        fd_pread 0 10 0
        fd_pwrite 1 x 0
        fd_read 0 4
        fd_read 0 5|6|100
        fd_read 0 10
        fd_write 2 to\x20standard|\x20error\x0a
        fd_write 1 to\x20standard\x20output\x0a
        fd_write 1 ''""",
    "appending": r"""
        f=path_open D 0 f CREAT READ+WRITE 0 0
        fd_write $f start
        a=path_open D 0 f 0 READ+WRITE 0 APPEND
        fd_tell $a
        fd_write $a +one
        fd_tell $a
        fd_seek $a 0 SET
        fd_tell $a
        fd_write $a +two
        fd_tell $a
        fd_pwrite $a XX 0
        fd_pread $a 100 0
        fd_read $a 4
        fd_write $f overwritten
        fd_pread $f 100 0
        c=path_open D 0 new CREAT WRITE 0 APPEND
        fd_write $c x
        fd_write $c y
        path_open D 0 f CREAT+TRUNC WRITE 0 APPEND
        fd_write $a after
        fd_filestat_get $a""",
    "descriptor flags": r"""
        f=path_open D 0 f CREAT READ+WRITE 0 0
        fd_write $f 12345
        fd_fdstat_set_flags $f APPEND
        fd_fdstat_get $f
        fd_seek $f 0 SET
        fd_write $f end
        fd_pread $f 20 0
        fd_fdstat_set_flags $f NONBLOCK
        fd_fdstat_get $f
        fd_fdstat_set_flags $f 0
        fd_fdstat_get $f
        fd_seek $f 0 SET
        fd_write $f START
        fd_pread $f 20 0
        fd_fdstat_set_flags $f SYNC
        fd_fdstat_set_flags $f DSYNC
        fd_fdstat_set_flags $f RSYNC
        fd_fdstat_set_flags $f APPEND+SYNC
        fd_fdstat_get $f
        fd_fdstat_set_flags D APPEND
        fd_fdstat_set_flags D 0
        fd_fdstat_set_flags 0 0
        fd_fdstat_set_flags 1 0
        fd_fdstat_set_flags 1 APPEND
        fd_fdstat_set_flags 1 NONBLOCK
        fd_fdstat_set_flags 77 0
        r=path_open D 0 f 0 READ 0 0
        fd_fdstat_set_flags $r APPEND
        fd_fdstat_get $r
        fd_write $r x""",
    "seeking": r"""
        f=path_open D 0 f CREAT READ+WRITE 0 0
        fd_seek $f 0 END
        fd_write $f 0123456789
        fd_tell $f
        fd_seek $f 0 SET
        fd_seek $f 4 SET
        fd_seek $f -2 CUR
        fd_seek $f 2 CUR
        fd_seek $f -3 END
        fd_read $f 10
        fd_seek $f 100 END
        fd_tell $f
        fd_write $f x
        fd_filestat_get $f
        fd_seek $f -1 SET
        fd_seek $f -1000 CUR
        fd_seek $f -1000 END
        fd_tell $f
        fd_seek $f 0x7fffffffffffffff SET
        fd_seek $f 0x7fffffffffffffff CUR
        fd_seek $f 0x7fffffffffffffff END
        fd_seek $f -0x8000000000000000 CUR
        fd_tell $f
        fd_seek D 0 SET
        fd_seek D 0 CUR
        fd_tell D
        fd_seek 0 0 SET
        fd_seek 1 0 CUR
        fd_tell 1
        fd_seek 77 0 SET
        fd_tell 77
        fd_tell -1
        fd_advise $f 0 10 0
        fd_advise $f 0 0 5
        fd_advise $f 10 -1 3
        fd_advise $f -1 10 4
        fd_advise D 0 10 0
        fd_advise 1 0 10 0
        fd_advise 77 0 10 0""",
    "directories": r"""
        path_create_directory D dir
        path_create_directory D dir/sub
        f=path_open D 0 dir/f CREAT WRITE 0 0
        path_remove_directory D dir
        path_remove_directory D dir/f
        path_remove_directory D dir/f/
        path_unlink_file D dir/sub
        path_unlink_file D dir/sub/
        path_unlink_file D dir/f/
        path_unlink_file D dir/f//
        path_unlink_file D dir/none
        path_unlink_file D dir/none/
        path_unlink_file D dir/f
        path_unlink_file D dir/f
        path_remove_directory D dir/sub/
        path_remove_directory D dir/sub
        path_remove_directory D dir//
        path_remove_directory D none
        path_remove_directory D none/
        path_remove_directory D .
        path_remove_directory D ./
        path_remove_directory 77 x
        path_remove_directory $f x
        path_unlink_file 77 x
        path_unlink_file $f x
        path_unlink_file 1 x
        path_create_directory D d1
        h=path_open D 0 d1 DIR READ 0 0
        path_remove_directory D d1
        fd_filestat_get $h
        path_open $h 0 x CREAT WRITE 0 0
        path_create_directory $h x
        fd_readdir $h 200 0
        path_symlink dir D to
        path_remove_directory D to
        path_remove_directory D to/
        path_unlink_file D to/
        path_unlink_file D to""",
    "reading directories": r"""
        fd_readdir D 200 0
        f=path_open D 0 file CREAT WRITE 0 0
        path_create_directory D dir
        path_symlink file D link
        path_open D 0 name-of-thirty-two-bytes-in-length CREAT WRITE 0 0
        fd_readdir D 500 0
        fd_readdir D 500 1
        fd_readdir D 500 2
        fd_readdir D 500 3
        fd_readdir D 500 6
        fd_readdir D 500 7
        fd_readdir D 500 1000
        fd_readdir D 500 -1
        fd_readdir D 500 0x100000000
        fd_readdir D 0 0
        fd_readdir D 1 0
        fd_readdir D 23 0
        fd_readdir D 24 0
        fd_readdir D 25 0
        fd_readdir D 26 0
        fd_readdir D 49 0
        fd_readdir D 50 0
        fd_readdir D 80 2
        fd_readdir D 81 2
        fd_readdir $f 100 0
        fd_readdir 77 100 0
        fd_readdir 1 100 0
        d=path_open D 0 dir DIR 0 0 0
        fd_readdir $d 100 0
        e=path_open D 0 dir 0 READ 0 0
        fd_readdir $e 100 0
        path_open $d 0 new CREAT WRITE 0 0
        fd_readdir $d 200 2
        fd_readdir $d 200 0
        path_unlink_file $d new
        fd_readdir $d 200 0
        fd_readdir R 500 0
        fd_readdir ROOT 500 0""",
    "renaming files": r"""
        a=path_open D 0 a CREAT READ+WRITE 0 0
        fd_write $a A
        b=path_open D 0 b CREAT READ+WRITE 0 0
        fd_write $b B
        path_rename D a D c
        path_filestat_get D 0 a
        path_filestat_get D 0 c
        fd_pread $a 10 0
        path_rename D c D b
        path_filestat_get D 0 b
        fd_pread $b 10 0
        fd_filestat_get $b
        path_rename D b D b
        path_rename D none D x
        path_rename D none/x D x
        path_rename D b D none/x
        path_rename D b D b/x
        path_rename D b/ D x
        path_rename D b D x/
        path_create_directory D dir
        path_rename D b D dir
        path_rename D b D dir/
        path_rename D dir D b
        path_rename D b D dir/b
        path_rename D dir/b/ D x
        path_rename D dir/b D dir/../x
        path_rename 77 a D x
        path_rename D x 77 a
        path_rename $a a D x
        path_rename D x 1 a
        path_symlink x D l
        path_rename D l D m
        path_readlink D m 10
        path_rename D x D m
        path_filestat_get D 0 m""",
    "renaming directories": r"""
        path_create_directory D a
        path_create_directory D a/sub
        path_create_directory D b
        h=path_open D 0 a DIR READ 0 0
        path_rename D a D c
        path_open $h 0 made CREAT WRITE 0 0
        path_filestat_get D 0 c/made
        fd_readdir $h 300 0
        path_rename D b D c
        path_rename D c D b
        path_rename D b D b/sub/b
        path_rename D b D b/x
        path_rename D b/ D e/
        path_rename D e/// D f///
        path_rename D f/. D g
        path_rename D f D .
        path_rename D . D g
        path_rename D . D .
        path_rename D none/ D g/
        path_create_directory D empty
        path_rename D f D empty
        path_rename D empty D empty
        path_filestat_get $h 0 made
        path_rename $h sub D up
        path_rename D up $h down
        path_filestat_get D 0 empty/down
        fd_readdir D 300 0""",
    "hard links": r"""
        f=path_open D 0 f CREAT READ+WRITE 0 0
        fd_write $f text
        path_link D 0 f D l
        fd_filestat_get $f
        path_filestat_get D 0 l
        path_link D 0 f D l
        path_link D 0 f D f
        path_link D 0 none D x
        path_link D 0 '' D x
        path_link D 0 f D ''
        path_link D 0 ../a D b
        path_link D 0 f D ../b
        path_link D 0 f D none/x
        path_link D 0 f D x/
        path_link D 0 f/ D x
        path_create_directory D dir
        path_link D 0 dir D x
        path_link D 0 f D dir
        path_link D 0 f D dir/
        path_link D 0 f D dir/l
        path_symlink f D s
        path_link D 0 s D t
        path_filestat_get D 0 t
        path_link D FOLLOW s D u
        path_link D FOLLOW f D u
        path_filestat_get D 0 u
        path_symlink dangling D dangling
        path_link D 0 dangling D v
        path_link 77 0 f D x
        path_link D 0 f 77 x
        path_link $f 0 f D x
        path_unlink_file D f
        fd_filestat_get $f
        path_unlink_file D l
        path_unlink_file D dir/l
        fd_filestat_get $f
        fd_pread $f 10 0
        fd_pwrite $f TEXT 0
        fd_pread $f 10 0
        path_filestat_get D 0 f""",
    "symbolic links": r"""
        path_symlink target D dangling
        path_open D 0 dangling 0 READ 0 0
        path_open D FOLLOW dangling 0 READ 0 0
        path_open D FOLLOW dangling CREAT+EXCL WRITE 0 0
        path_open D 0 dangling CREAT WRITE 0 0
        path_open D 0 dangling DIR READ 0 0
        path_open D FOLLOW dangling DIR READ 0 0
        path_filestat_get D 0 dangling
        path_filestat_get D FOLLOW dangling
        path_open D FOLLOW dangling CREAT WRITE 0 0
        path_filestat_get D FOLLOW dangling
        path_symlink target D dangling
        path_symlink target D target
        path_symlink x D none/l
        path_symlink x D new/
        path_symlink x D new//
        path_create_directory D dir
        path_symlink x D dir/
        path_symlink x D dir
        path_symlink dir D todir
        path_open D 0 todir 0 READ 0 0
        path_open D 0 todir DIR READ 0 0
        path_open D FOLLOW todir DIR READ 0 0
        path_open D 0 todir/ DIR READ 0 0
        path_open D 0 todir/. DIR READ 0 0
        path_open D 0 todir/x CREAT WRITE 0 0
        path_filestat_get D 0 todir
        path_filestat_get D 0 todir/
        path_filestat_get D FOLLOW todir
        path_filestat_get D 0 todir/x
        path_open D 0 dangling/ 0 READ 0 0
        path_open D 0 target TRUNC+CREAT WRITE 0 0
        path_open D 0 dangling TRUNC WRITE 0 0
        path_readlink D dangling 6
        path_readlink D dangling 3
        path_readlink D dangling 0
        path_readlink D dangling 100
        path_readlink D target 10
        path_readlink D dir 10
        path_readlink D none 10
        path_readlink D todir/x 10
        path_readlink D todir/ 10
        path_readlink 77 x 10
        path_readlink 1 x 10
        path_symlink loop D loop
        path_open D 0 loop 0 READ 0 0
        path_open D FOLLOW loop 0 READ 0 0
        path_open D FOLLOW loop CREAT WRITE 0 0
        path_filestat_get D 0 loop
        path_filestat_get D FOLLOW loop
        path_open D 0 loop/x 0 READ 0 0
        path_symlink two D one
        path_symlink one D two
        path_open D FOLLOW one 0 READ 0 0
        path_unlink_file D loop
        path_unlink_file D one/
        path_symlink x 77 l
        path_symlink x 1 l
        path_symlink a\x00b D l
        path_symlink '' D x
        path_symlink x D ''
        path_symlink '' D l
        path_symlink \xff D l
        path_rename D todir D moved
        path_readlink D moved 10
        path_filestat_set_times D 0 moved 1000000000 2000000000 ATIM+MTIM
        path_filestat_get D 0 moved
        path_filestat_set_times D FOLLOW moved 3000000000 4000000000 ATIM+MTIM
        path_filestat_get D FOLLOW moved
        path_filestat_set_times D FOLLOW one 1 1 ATIM""",
    "times": r"""
        f=path_open D 0 f CREAT READ+WRITE 0 0
        fd_filestat_set_times $f 1000000000 2000000007 ATIM+MTIM
        fd_filestat_get $f
        fd_filestat_set_times $f 5 5 ATIM
        fd_filestat_get $f
        fd_filestat_set_times $f 6 6 MTIM
        fd_filestat_get $f
        fd_filestat_set_times $f 7 7 0
        fd_filestat_get $f
        fd_filestat_set_times $f 8 8 ATIM_NOW
        fd_filestat_get $f
        fd_filestat_set_times $f 9 9 MTIM_NOW+ATIM
        fd_filestat_get $f
        fd_filestat_set_times $f 0 0 ATIM+ATIM_NOW
        fd_filestat_set_times $f 0 0 MTIM+MTIM_NOW
        fd_filestat_set_times $f 0 0 ATIM+ATIM_NOW+MTIM+MTIM_NOW
        fd_filestat_set_times $f 0x7fffffffffffffff 0 ATIM
        fd_filestat_get $f
        path_filestat_set_times D 0 f 11000000000 12000000000 ATIM+MTIM
        path_filestat_get D 0 f
        path_filestat_set_times D 0 f 1 1 ATIM+ATIM_NOW
        path_filestat_set_times D 0 f 1 1 0
        path_filestat_set_times D 0 f/ 1 1 ATIM
        path_filestat_set_times D 0 none 1 1 ATIM
        path_filestat_set_times D 0 . 1 1 ATIM
        path_filestat_set_times D 0 f 1 1 MTIM_NOW
        path_filestat_get D 0 f
        path_filestat_set_times $f 0 x 1 1 ATIM
        path_filestat_set_times 77 0 x 1 1 ATIM
        fd_filestat_set_times D 13000000000 14000000000 ATIM+MTIM
        fd_filestat_get D
        fd_filestat_set_times 1 1 1 ATIM
        fd_filestat_set_times 77 1 1 ATIM""",
    "removed while open": r"""
        f=path_open D 0 f CREAT READ+WRITE 0 0
        fd_write $f text
        path_unlink_file D f
        fd_filestat_get $f
        fd_pread $f 10 0
        fd_write $f more
        fd_filestat_set_size $f 2
        fd_filestat_set_times $f 1 2 ATIM+MTIM
        fd_filestat_get $f
        fd_sync $f
        g=path_open D 0 f CREAT READ+WRITE 0 0
        fd_filestat_get $g
        fd_close $f
        fd_close $f
        fd_filestat_get $g""",
    "numbers of descriptors": r"""
        path_open D 0 a CREAT WRITE 0 0
        path_open D 0 b CREAT WRITE 0 0
        path_open D 0 c CREAT WRITE 0 0
        path_open D 0 . DIR READ 0 0
        fd_close 7
        fd_close 6
        path_open D 0 a 0 READ 0 0
        path_open D 0 a 0 READ 0 0
        path_open D 0 a 0 READ 0 0
        path_open D 0 none 0 READ 0 0
        path_open D 0 a 0 READ 0 0
        fd_close 8
        fd_close 8
        fd_close 12
        fd_close 0
        path_open D 0 a 0 READ 0 0
        path_open D 0 b 0 READ 0 0
        fd_fdstat_get 0
        fd_fdstat_get 8
        fd_close R
        fd_close 2
        path_open D 0 c 0 READ 0 0
        path_open D 0 c 0 READ 0 0
        path_open D 0 c 0 READ 0 0
        fd_fdstat_get 2
        fd_fdstat_get 4
        fd_prestat_get 4
        fd_prestat_dir_name 4 10
        fd_write 2 text""",
    "renumbering": r"""
        a=path_open D 0 a CREAT READ+WRITE 0 0
        b=path_open D 0 b CREAT READ 0 0
        fd_write $a text
        fd_renumber $a $b
        fd_fdstat_get $a
        fd_fdstat_get $b
        fd_pread $b 10 0
        fd_tell $b
        fd_renumber $b $a
        fd_renumber $b 77
        fd_renumber 77 $b
        fd_renumber 77 78
        fd_renumber -1 -1
        fd_renumber $b $b
        fd_pread $b 10 0
        fd_close $a
        path_open D 0 a 0 READ 0 0
        path_open D 0 a 0 READ 0 0
        fd_renumber $b 0
        fd_fdstat_get 0
        fd_pread 0 10 0
        fd_seek 0 0 SET
        fd_read 0 10
        path_open D 0 a 0 READ 0 0
        fd_renumber 2 0
        fd_write 0 to\x20standard\x20error
        fd_write 2 nowhere
        fd_close 0""",
    "renumbering directories": r"""
        path_create_directory D x
        x=path_open D 0 x DIR READ 0 0
        fd_renumber $x R
        fd_prestat_get R
        fd_prestat_dir_name R 10
        fd_fdstat_get R
        path_open R 0 in-x CREAT WRITE 0 0
        fd_filestat_get $x
        path_filestat_get D 0 x/in-x
        fd_renumber D R
        fd_prestat_get D
        fd_prestat_get R
        fd_prestat_dir_name R 2
        path_filestat_get R 0 x/in-x
        path_filestat_get D 0 x/in-x
        path_open R 0 at-d CREAT WRITE 0 0
        f=path_open R 0 at-d 0 READ 0 0
        fd_renumber $f R
        path_open R 0 at-d 0 READ 0 0
        fd_renumber R ROOT
        fd_prestat_get ROOT
        fd_fdstat_get ROOT""",
    "closed directories": r"""
        path_create_directory D x
        x=path_open D 0 x DIR READ 0 0
        fd_close D
        fd_prestat_get D
        path_open D 0 f CREAT WRITE 0 0
        fd_fdstat_get D
        path_open $x 0 f CREAT WRITE 0 0
        path_rename $x f $x g
        path_rename $x g D g
        fd_readdir $x 100 0
        fd_close R
        fd_close ROOT
        fd_close D
        path_open $x 0 g 0 READ 0 0""",
    "closed streams": r"""
        o=path_open D 0 log CREAT WRITE 0 0
        fd_close 0
        fd_read 0 10
        fd_close 2
        fd_write 2 x
        fd_fdstat_get 2
        output $o
        fd_close 1
        fd_write 1 x
        fd_close 1
        fd_fdstat_get 1
        fd_filestat_get 1
        path_open D 0 log 0 READ 0 0
        poll_oneoff 2:1:1
        poll_oneoff 1:1:0|2:2:1
        sched_yield""",
    "dangling descriptors": r"""
        f=path_open D 0 f CREAT WRITE 0 0
        fd_close $f
        g=path_open D 0 g CREAT WRITE 0 0
        fd_write $f text
        fd_close $g
        fd_close $g
        fd_write $g x
        fd_read $g 10
        fd_seek $g 0 SET
        fd_tell $g
        fd_sync $g
        fd_datasync $g
        fd_advise $g 0 0 0
        fd_allocate $g 0 1
        fd_fdstat_get $g
        fd_fdstat_set_flags $g 0
        fd_filestat_get $g
        fd_filestat_set_size $g 1
        fd_filestat_set_times $g 0 0 0
        fd_readdir $g 100 0
        fd_prestat_get $g
        fd_renumber $g D
        path_open $g 0 x 0 0 0 0
        path_filestat_get $g 0 x
        d=path_open D 0 . DIR READ 0 0
        fd_close $d
        d=path_open D 0 . DIR READ 0 0
        fd_filestat_get $d""",
    "polling": r"""
        poll_oneoff ''
        poll_oneoff 0:0x123456789a:1:1000000:0:0
        poll_oneoff 0:2:1:0:0:0
        poll_oneoff 0:3:0:1000000:0:0
        poll_oneoff 0:4:1:1:0:1
        poll_oneoff 0:5:1:60000000000:0:0|0:6:1:1000000:0:0
        poll_oneoff 0:7:1:0:0:0|0:8:1:0:0:0
        poll_oneoff 1:9:0
        poll_oneoff 2:10:1|2:11:2
        poll_oneoff 1:12:0|2:13:1|0:14:1:60000000000:0:0
        poll_oneoff 1:15:77
        poll_oneoff 2:16:77|0:17:1:1000000:0:0
        poll_oneoff 1:18:3
        poll_oneoff 2:19:3
        f=path_open D 0 f CREAT READ+WRITE 0 0
        fd_write $f 0123456789
        fd_seek $f 4 SET
        poll_oneoff 1:20:$f
        poll_oneoff 2:21:$f
        poll_oneoff 2:23:$f|1:24:0|0:25:1:60000000000:0:0
        poll_oneoff 1:26:1
        poll_oneoff 2:27:0
        fd_read 0 1000
        poll_oneoff 1:28:0
        poll_oneoff 1:29:0|0:30:1:60000000000:0:0""",
    "clocks": r"""
        clock_res_get 0
        clock_res_get 1
        clock_time_get 0 0
        clock_time_get 0 1000000000
        clock_time_get 0 -1
        clock_time_get 1 0
        clock_time_get 1 0
        clock_time_get 1 1""",
    "other clocks": r"""
        clock_res_get 2
        clock_res_get 3
        clock_time_get 2 0
        clock_time_get 3 0""",
    "other clocks in a poll": r"""
        poll_oneoff 0:1:2:1000:0:0
        poll_oneoff 0:1:3:1000:0:0""",
    "random numbers": r"""
        random_get 0
        random_get 1
        random_get 64
        random_get 65536
        random_get 400000""",
    "yielding": r"""
        sched_yield
        sched_yield""",
    "raising": r"""
        proc_raise 0
        proc_raise 6
        sched_yield""",
    "sockets": r"""
        sock_accept 77 0
        sock_recv 77 10 0
        sock_send 77 x 0
        sock_shutdown 77 1
        sock_accept D 0
        sock_recv D 10 0
        sock_send D x 0
        sock_shutdown D 1
        sock_accept 1 0
        sock_recv 0 10 0
        sock_send 1 x 0
        sock_shutdown 1 3
        f=path_open D 0 f CREAT READ+WRITE 0 0
        sock_accept $f 0
        sock_recv $f 10 0
        sock_send $f x 0
        sock_shutdown $f 2""",
    "a directory for reading": r"""
        path_open R 0 file 0 READ 0 0
        fd_read 6 100
        path_open R 0 sub/deep 0 READ 0 0
        path_open R FOLLOW link 0 READ 0 0
        path_open R 0 link 0 READ 0 0
        path_open R FOLLOW dangling 0 READ 0 0
        path_readlink R link 10
        path_filestat_get R 0 file
        path_filestat_get R 0 none
        fd_readdir R 500 0
        fd_sync 6
        fd_filestat_get 6
        fd_fdstat_get 6
        fd_fdstat_set_flags 6 APPEND
        fd_close 6
        path_open R 0 none 0 READ 0 0
        path_open R 0 sub DIR READ 0 0
        path_open 6 0 deep 0 READ 0 0
        fd_pread 9 10 5""",
    "exit 0": "proc_exit 0",
    "exit 1": "proc_exit 1",
    "exit 42": "fd_write 1 before\\x0a\nproc_exit 42",
    "exit 125": "proc_exit 125",
    "unreachable": "fd_write 1 before\\x0a\nunreachable",
}

OPENED = r"""
    f=path_open D 0 f CREAT READ+WRITE 0 0
    fd_write $f 0123456789
    path_symlink f D l
"""
TRAPS: tuple[str, ...] = (
    # Numbers that are no flags, no clock, no advice ...
    "clock_res_get 4",
    "clock_res_get -1",
    "clock_time_get 4 0",
    "fd_advise $f 0 0 6",
    "fd_advise 77 0 0 6",
    "fd_seek $f 0 3",
    "fd_seek 77 0 3",
    "fd_fdstat_set_flags $f 32",
    "fd_fdstat_set_flags 77 32",
    "fd_fdstat_set_rights $f -1 0",
    "fd_fdstat_set_rights $f 0 -1",
    "fd_filestat_set_times $f 0 0 16",
    "fd_filestat_set_times 77 0 0 16",
    "path_filestat_set_times D 0 f 0 0 16",
    "path_filestat_set_times D 2 f 0 0 1",
    "path_filestat_get D 2 f",
    "path_link D 2 f D g",
    "path_open D 2 f 0 READ 0 0",
    "path_open D 0 f 16 READ 0 0",
    "path_open D 0 f 0 -1 0 0",
    "path_open D 0 f 0 0 -1 0",
    "path_open D 0 f 0 READ 0 32",
    "path_open 77 -1 none -1 -1 -1 -1",
    "path_open D 0x10000 f 0 READ 0 0",
    "path_open D 0 f 0x10000 READ 0 0",
    "proc_raise 31",
    "sock_recv 77 10 4",
    "sock_send 77 x 1",
    "sock_accept 77 32",
    "sock_shutdown 77 4",
    "sock_shutdown 77 0",
    "poll_oneoff 3:1:1",
    "poll_oneoff 0:1:4:0:0:0",
    "poll_oneoff 0:1:1:0:0:2",
    # Results that do not fit into memory, or lie where nothing of their type may lie.
    *(
        f"{call} {at}"
        for call in (
            "args_sizes_get .",
            "args_sizes_get",
            "environ_sizes_get .",
            "environ_sizes_get",
            "clock_res_get 1",
            "clock_time_get 1 0",
            "fd_fdstat_get $f",
            "fd_filestat_get $f",
            "fd_filestat_get 77",
            "fd_prestat_get D",
            "fd_seek $f 0 SET",
            "fd_tell $f",
            "fd_read $f 10",
            "fd_read $f 0",
            "fd_pread $f 10 0",
            "fd_write $f x",
            "fd_write 1 x\\x0a",
            "fd_pwrite $f x 0",
            "fd_readdir D 100 0",
            "path_filestat_get D 0 f",
            "path_filestat_get D 0 none",
            "path_open D 0 f 0 READ 0 0",
            "path_open D 0 new CREAT READ 0 0",
            "path_readlink D l 10",
            "poll_oneoff 0:1:1:1:0:0 . .",
            "sock_accept 77 0",
        )
        for at in ("@end-1", "@end", "@-1", "@space+1")
    ),
    "poll_oneoff 0:1:1:1:0:0 @end",
    "poll_oneoff 0:1:1:1:0:0 @end-32",
    "poll_oneoff 0:1:1:1:0:0 @space+1",
    "poll_oneoff @end . 1",
    "poll_oneoff @space+1 . 1",
    "poll_oneoff @space . -1",
    "poll_oneoff @0 @0 0",
    "args_get @end",
    "args_get @space+1",
    "args_get . @end",
    "args_get . @end-4",
    "environ_get @end",
    "environ_get @space+2",
    "environ_get . @end-4",
    # Bytes and buffers beyond memory, and lists of them.
    "random_get @end:1",
    "random_get @end-4:8",
    "random_get @end:0",
    "random_get @-1:0",
    "random_get @0:-1",
    "fd_prestat_dir_name D @end-1:2",
    "fd_prestat_dir_name D @end:0",
    "fd_prestat_dir_name 77 @end:10",
    "fd_readdir D @end-1:2 0",
    "fd_readdir D @end-10:100 0",
    "path_readlink D l @end:1",
    "path_readlink D l @end:0",
    "fd_read $f @end:1",
    "fd_read $f @end-4:1",
    "fd_read $f @space+1:1",
    "fd_read $f @space:-1",
    "fd_read 77 @end:1",
    "fd_read $f @end-1:2|5",
    "fd_read $f 5|@end-1:2",
    "fd_seek $f 0 SET\nfd_read $f 5|@end-1:2",
    "fd_seek $f 0 SET\nfd_read $f @end-1:2|5",
    "fd_pread $f @end-1:2 0",
    "fd_pread $f @0:-1 0",
    "fd_write $f @end:1",
    "fd_write $f @end-1:2|ok",
    "fd_write $f ok|@end-1:2",
    "fd_write 77 @end-1:2|ok",
    "fd_pwrite $f @end-1:2 0",
    "fd_pwrite $f @0:-1 0",
    *(
        command.replace("PATH", at)
        for command in (
            "path_open D 0 PATH 0 READ 0 0",
            "path_open 77 0 PATH 0 READ 0 0",
            "path_filestat_get D 0 PATH",
            "path_filestat_set_times D 0 PATH 0 0 ATIM",
            "path_create_directory D PATH",
            "path_remove_directory D PATH",
            "path_unlink_file D PATH",
            "path_readlink D PATH 10",
            "path_rename D PATH D new",
            "path_rename D f D PATH",
            "path_link D 0 PATH D new",
            "path_link D 0 f D PATH",
            "path_symlink PATH D new",
            "path_symlink x D PATH",
            "path_unlink_file 77 PATH",
        )
        for at in ("@end:1", "@end-1:2", "@-1:1", "@end:0")
    ),
)
"""Calls that are wrong in themselves, each the last of a program of its own."""


OUT_OF_THE_DIRECTORY = [
    read("/d/..", LEADS_OUT),
    write("/d/../x", LEADS_OUT),
    read("/d/x", LEADS_OUT),
    read("/", LEADS_OUT),
    read("/d/s/../../x", LEADS_OUT),
    write("/d/../new", LEADS_OUT),
    write("/new", LEADS_OUT),
    write("/d/..", LEADS_OUT),
    write("/d/../x", LEADS_OUT),
    write("/d/../a -> /d/b", LEADS_OUT),
    write("/d/s -> /d/../b", LEADS_OUT),
    read("/d/../a", LEADS_OUT),
    write("/d/..", LEADS_OUT),
    read("/d/s/..", LEADS_OUT),
    read("/d/s/../s", LEADS_OUT),
]
NO_SOCKET = Denial("sockets", None, "preview 1 opens no sockets, so there is none that this could be done with")
DENIED: dict[str, list[Denial]] = {
    "out of the directory": OUT_OF_THE_DIRECTORY,
    "hard links": [
        write("/d/../a -> /d/b", LEADS_OUT),
        write("/d/f -> /d/../b", LEADS_OUT),
        write("/d/dir -> /d/x", PERMISSIONS),
    ],
    "sockets": [NO_SOCKET] * 16,
}
"""What of the programs Wasmtime refuses, and is therefore recorded."""

DIFFERENT_BY_DEFAULT = {"hard links": "hard links are refused unless the grant allows them"}
"""Programs that see grants which do not allow hard links, and why."""

DIFFERENT_IF_ROUTED = {
    **DIFFERENT_BY_DEFAULT,
    "directories": "symbolic links are not made",
    "reading directories": "symbolic links are not made",
    "renaming files": "symbolic links are not made",
    "renaming directories": "a handle goes by its path",
    "symbolic links": "symbolic links are not made or followed",
    "a directory for reading": "symbolic links are not followed",
}
"""Programs that see a grant with exceptions for what it is, and why."""


def openings(target: str) -> str:
    """Opens ``target`` with each combination of flags and rights that matter, and tries what comes of it."""
    lines = ["path_create_directory D dir", "f=path_open D 0 file CREAT READ+WRITE 0 0", "fd_close $f"]
    for follow in (0, 1):
        for flags in range(16):
            for rights in ("0", "READ", "WRITE", "READ+WRITE", "SETSIZE"):
                lines += [
                    "path_unlink_file D missing",
                    f"x=path_open D {follow} {target} {flags} {rights} 0 0",
                    "fd_fdstat_get $x",
                    "fd_read $x 3",
                    "fd_write $x abcd",
                    "fd_close $x",
                ]
    return "\n".join(lines)


OPENINGS = {f"open {target}": openings(target) for target in ("file", "missing", "dir", "dir/", "file/", ".")}
GRANTS: dict[str, dict[str, object]] = {
    "hard links allowed": {},
    "default": {"hard_links": "refuse"},
    "exceptions": {"hard_links": "refuse", "excepted": ["never/named"]},
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """The result of every program under plain wasmtime-py."""
    programs = {**PROGRAMS, **OPENINGS, **{call: OPENED + call for call in (*TRAPS, *LONGER_THAN_MEMORY)}}
    programs |= {name: difference.program for name, difference in DIFFERENT.items() if difference.native is not None}
    return run_plain(programs, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_results(name: str, plain: dict[str, Result], runner: Runner, tmp_path: Path) -> None:
    """A program gets the same answers, ends the same and leaves the same files as under plain Wasmtime."""
    result, denials = run_sandboxed(PROGRAMS[name], tmp_path, runner)
    assert result == plain[name]
    assert denials == DENIED.get(name, [])


@pytest.mark.parametrize("name", [n for n in PROGRAMS if n not in DIFFERENT_BY_DEFAULT])
def test_same_results_by_default(name: str, plain: dict[str, Result], runner: Runner, tmp_path: Path) -> None:
    """Likewise under grants that say nothing of hard links, so that each file is looked at before it is opened."""
    more = {"hard_links": "refuse"}
    result, denials = run_sandboxed(PROGRAMS[name], tmp_path, runner, more=more)
    assert result == plain[name]
    assert denials == DENIED.get(name, [])


@pytest.mark.parametrize("name", [n for n in PROGRAMS if n not in DIFFERENT_IF_ROUTED])
def test_same_results_where_paths_are_routed(
    name: str, plain: dict[str, Result], runner: Runner, tmp_path: Path
) -> None:
    """Likewise where the host decides each path, short of links and renamed handles."""
    more = {"hard_links": "refuse", "excepted": ["never/named"]}
    result, denials = run_sandboxed(PROGRAMS[name], tmp_path, runner, more=more)
    assert result == plain[name]
    assert denials == DENIED.get(name, [])


@pytest.mark.parametrize("grants", GRANTS)
@pytest.mark.parametrize("name", OPENINGS)
def test_every_way_to_open(name: str, grants: str, plain: dict[str, Result], runner: Runner, tmp_path: Path) -> None:
    """Flags, rights and what is there decide what opening comes to as they do under plain Wasmtime."""
    result, denials = run_sandboxed(OPENINGS[name], tmp_path, runner, more=GRANTS[grants])
    assert (comparable(result), denials) == (comparable(plain[name]), [])


BEYOND = "wasm trap: out of bounds memory access"


MISALIGNED = tuple(f"is not a multiple of {n}, as preview 1 wants it" for n in (4, 8))


def in_other_words(native: str, reason: str) -> bool:
    """Whether ``reason`` says of a trap what Wasmtime says of it.

    Of a wrong address the guard may find out first, by reading there, or by asking about another size.
    """
    if native.startswith("Pointer "):
        return "Pointer " in reason or reason.endswith((BEYOND, "are not in the module's memory", *MISALIGNED))
    return reason.endswith(native)


@pytest.mark.parametrize("call", TRAPS)
def test_same_traps(call: str, plain: dict[str, Result], runner: Runner, tmp_path: Path) -> None:
    """A call that is wrong in itself ends the guest as it does under plain Wasmtime, or is answered as there."""
    result, _ = run_sandboxed(OPENED + call, tmp_path, runner)
    expected = plain[call]
    if isinstance(expected.end, str):
        assert isinstance(result.end, str)
        assert in_other_words(expected.end, result.end), result.end
        result = result._replace(end=expected.end)
    assert result == expected


OUTSIDE = "the 4294967295 bytes at address 0 are not in the module's memory"
LONGER_THAN_MEMORY: dict[str, int | str] = {
    **dict.fromkeys(
        (
            "path_open D 0 @0:-1 0 READ 0 0",
            "path_filestat_get D 0 @0:-1",
            "path_filestat_set_times D 0 @0:-1 0 0 ATIM",
            "path_create_directory D @0:-1",
            "path_remove_directory D @0:-1",
            "path_readlink D @0:-1 10",
            "path_rename D @0:-1 D new",
            "path_rename D f D @0:-1",
            "path_link D 0 @0:-1 D new",
            "path_link D 0 f D @0:-1",
        ),
        OUTSIDE,
    ),
    "path_symlink @0:-1 D new": "errno nametoolong",
    "path_symlink x D @0:-1": "errno nametoolong",
    "fd_write $f @space:-1": "errno nospc",
}
"""Calls whose bytes do not lie in memory. Wasmtime counts first what it would copy, which is ``nomem``; the guard looks
at the bytes, at the longest path, or at what may be written, as it goes. Each with how it ends, or what it comes to.
"""


@pytest.mark.parametrize("call", LONGER_THAN_MEMORY)
def test_longer_than_memory(call: str, plain: dict[str, Result], runner: Runner, tmp_path: Path) -> None:
    """By design, bytes that end beyond memory are never reached under either; see ``LONGER_THAN_MEMORY``."""
    result, _ = run_sandboxed(OPENED + call, tmp_path, runner)
    expected = LONGER_THAN_MEMORY[call]
    assert (plain[call].end, results(plain[call])[3:]) == (0, ["errno nomem"])
    assert result.files == plain[call].files
    ended = (result.end, results(result)[3:])
    assert ended == ((OUTSIDE, []) if expected == OUTSIDE else (0, [expected]))


class Difference(NamedTuple):
    """A program that comes to something else by design."""

    why: str
    program: str
    native: tuple[str, ...] | None
    """What each command comes to under plain Wasmtime; ``None``: that is not tried."""
    here: tuple[str, ...]
    told: tuple[Denial, ...] = ()
    native_end: int | str = 0
    end: int | str = 0


FULL = "the bytes that may be written to files are used up (268,435,456 bytes)"
STATUS = "exit with invalid exit status outside of [0..126)"
DIFFERENT: dict[str, Difference] = {
    "sizes": Difference(
        "No file is made to look larger than all that the policy lets a run write.",
        """
        f=path_open D 0 f CREAT READ+WRITE 0 0
        fd_filestat_set_size $f -1
        fd_filestat_set_size $f 0x7fffffffffffffff
        fd_filestat_set_size $f 1000000""",
        ("ok fd=6", "errno inval", "errno fbig", "ok"),
        ("ok fd=6", "errno nospc", "errno nospc", "ok"),
        (Denial("limits.disk", "/d/f", FULL),) * 2,
    ),
    "paths of more than 4096 bytes": Difference(
        "A path that cannot be told whole is an error. Wasmtime itself takes some.",
        """
        path_open D 0 LONG/x CREAT WRITE 0 0
        path_create_directory D LONG/x
        path_symlink x D LONG/l
        path_symlink LONG/x D l
        path_readlink D LONG/l 10
        path_unlink_file D LONG/l
        path_rename D LONG/x D y
        path_remove_directory D LONG/x""".replace("LONG", "/".join("." * 2500)),
        (
            "errno nametoolong",
            "ok",
            "ok",
            "errno nametoolong",
            'ok "x" n=1',
            "ok",
            "ok",
            "errno noent",
        ),
        ("errno nametoolong",) * 8,
    ),
    "targets of symbolic links": Difference(
        "A link may not point out of its own directory: made there, it does so for whoever looks at it from outside.",
        """
        path_symlink ../x D l
        path_symlink a/../../x D m
        path_symlink a/../x D n
        path_symlink /etc D o
        path_symlink a/./x D p""",
        ("ok", "ok", "ok", "errno perm", "ok"),
        ("errno perm", "errno perm", "errno perm", "errno perm", "ok"),
        (
            write("/d/l -> ../x", LINK_TARGET),
            write("/d/m -> a/../../x", LINK_TARGET),
            write("/d/n -> a/../x", LINK_TARGET),
            write("/d/o -> /etc", LINK_TARGET),
        ),
    ),
    "what no grant covers": Difference(
        "Below the empty root everything is refused and told, rather than missing.",
        """
        path_open ROOT 0 etc/passwd 0 READ 0 0
        path_filestat_get ROOT 0 etc
        path_filestat_get ROOT 0 .
        path_create_directory ROOT x
        path_open ROOT 0 . DIR READ 0 0
        path_open 6 0 d/x CREAT WRITE 0 0
        path_rename D x ROOT x
        path_rename ROOT x ROOT y
        fd_readdir ROOT 100 0""",
        (
            "errno noent",
            "errno noent",
            "ok dev=#0 ino=#1 type=directory atim=recent mtim=recent ctim=recent",
            "errno perm",
            "ok fd=6",
            "errno perm",
            "errno perm",
            "errno perm",
            'ok "." next=1 ino=#1 type=directory ".." next=2 ino=#1 type=directory n=51',
        ),
        (
            "errno acces",
            "errno acces",
            "ok dev=#0 ino=#1 type=directory atim=recent mtim=recent ctim=recent",
            "errno acces",
            "ok fd=6",
            "errno acces",
            "errno acces",
            "errno acces",
            'ok "." next=1 ino=#1 type=directory ".." next=2 ino=#1 type=directory n=51',
        ),
        (
            read("/etc/passwd", UNGRANTED),
            read("/etc", UNGRANTED),
            write("/x", UNGRANTED),
            write("/d/x", by_name("/d")),
            write("/d/x -> /x", UNGRANTED),
            write("/x -> /y", UNGRANTED),
        ),
    ),
    "from one grant to another": Difference(
        "Files are not moved or linked from one grant to another, which may have another policy: told with both paths.",
        """
        path_open D 0 f CREAT WRITE 0 0
        path_rename D f R g
        path_rename R file D g
        path_link R 0 file D g
        path_link D 0 f R g""",
        ("ok fd=6", *["errno perm"] * 4),
        ("ok fd=6", *["errno xdev"] * 4),
        (
            write("/d/f -> /r/g", ACROSS),
            write("/r/file -> /d/g", ACROSS),
            write("/r/file -> /d/g", ACROSS),
            write("/d/f -> /r/g", ACROSS),
        ),
    ),
    "FIFOs": Difference(
        "Plain Wasmtime waits for ever for somebody to open the other end.",
        """
        path_open R 0 special/fifo 0 READ 0 0
        path_open R 0 special/fifo 0 READ 0 NONBLOCK
        path_filestat_get R 0 special/fifo""",
        None,
        (
            "errno acces",
            "errno acces",
            "ok dev=#0 ino=#1 type=unknown links=1 size=0 atim=recent mtim=recent ctim=recent",
        ),
        (read("/r/special/fifo", SPECIAL),) * 2,
    ),
    "sockets in a directory": Difference(
        "A socket is refused, and told, before the system says that it cannot be opened.",
        """
        path_open R 0 special/socket 0 READ 0 0
        path_open R 0 special/socket DIR 0 0 0
        path_open R 0 special/socket/x 0 READ 0 0
        path_filestat_get R 0 special/socket""",
        (
            "errno io",
            "errno io",
            "errno notdir",
            "ok dev=#0 ino=#1 type=unknown links=1 size=0 atim=recent mtim=recent ctim=recent",
        ),
        (
            "errno acces",
            "errno acces",
            "errno notdir",
            "ok dev=#0 ino=#1 type=unknown links=1 size=0 atim=recent mtim=recent ctim=recent",
        ),
        (read("/r/special/socket", SPECIAL),) * 2,
    ),
    "status 126": Difference("Every status of a byte is one.", "proc_exit 126", (), (), (), STATUS, 126),
    "status 255": Difference("Every status of a byte is one.", "proc_exit 255", (), (), (), STATUS, 255),
    "status 256": Difference("No failure ends up as success.", "proc_exit 256", (), (), (), STATUS, 1),
    "status -1": Difference("The low byte is what a shell sees.", "proc_exit -1", (), (), (), STATUS, 255),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_differences(name: str, plain: dict[str, Result], runner: Runner, tmp_path: Path) -> None:
    """What is different by design, each with its reason; see ``DIFFERENT``."""
    difference = DIFFERENT[name]
    result, denials = run_sandboxed(difference.program, tmp_path, runner)
    if difference.native is not None:
        assert (results(plain[name]), plain[name].end) == ([*difference.native], difference.native_end)
    assert (results(result), denials, result.end) == ([*difference.here], [*difference.told], difference.end)
