"""Scenarios by hand: see posix_ops.py for the language."""


def lines(text):
    return [line.strip() for line in text.strip().split("\n")]


STORIES = {name: lines(text) for name, text in {
    "times of creation and removal": """
        mkdir d
        T d: create d/f
        T d,d/f: link d/f d/g
        T d,d/f,d/g: unlink d/g
        T d,.: mkdir d/s
        T d,d/s: rmdir d/s
        T d,d/f: rename d/f d/h
        mkdir e
        T d,e,d/h: rename d/h e/h
        T e: unlink e/h
        T d,.: symlink x d/l
        T d,^d/l: rename d/l d/m
        T d: mkfifo d/p
        T e,.: rename e d/e
        stat .
        stat d
    """,
    "times of data and attributes": """
        create f 0644 text
        T f: write f more
        T f: read f
        T f: chmod f 0600
        T f: chown f -1 -1
        T f: chown f 0 0
        T f: truncate f 2
        T f: truncate f 2
        T f: truncate f 9000
        T f: utimens f 1 2
        T f: utimens f omit omit
        T f: utimens f now omit
        T f: open f RDONLY|TRUNC
        T f: open f RDONLY|TRUNC
        T f: open f WRONLY
        hopen 1 f RDWR
        T f: hwrite 1 text
        T f: htruncate 1 4
        T f: htruncate 1 8
        T f: hfallocate 1 alloc 0 100
        T f: hfallocate 1 keep 0 9000
        T f: hmap 1 0 map
        T f: hchmod 1 0644
        T f: hsync 1
        T f: hstat 1
    """,
    "times to the nanosecond": """
        create f
        utimens f 1234567890123456789 987654321000000001
        times f
        utimens f -1500000000 -1
        times f
        utimens f 4000000000999999999 3
        times f
        symlink f l
        utimens ^l 77 88
        times ^l
        times f
        hopen 1 f RDWR
        hutimens 1 5 6
        times f
        mkdir d
        utimens d 1 2
        times d
    """,
    "an unlinked open file": """
        create f 0644 text
        hopen 1 f RDWR
        T .: unlink f
        hstat 1
        hread 1 100
        hwrite 1 more
        hstat 1
        hchmod 1 0600
        htruncate 1 3
        hutimens 1 1 2
        hstat 1
        create f 0644 other
        hpread 1 10 0
        read f
        hlinkat 1 back
        hclose 1
        ls .
    """,
    "an unlinked file without read permission": """
        hopen 1 f WRONLY|CREAT 0200
        unlink f
        hwrite 1 text
        hchmod 1 0000
        hstat 1
        htruncate 1 1
        hstat 1
    """,
    "rename over an open file": """
        create f 0644 old
        create g 0644 new
        hopen 1 f RDWR
        hopen 2 g RDWR
        rename g f
        hstat 1
        hstat 2
        hread 1 10
        hread 2 10
        hwrite 1 lost
        read f
        hwrite 2 kept
        read f
        stat f
    """,
    "a removed directory in use": """
        mkdir d
        hopen 1 d RDONLY|DIRECTORY
        rmdir d
        hstat 1
        hlist 1
        hopenat 1 x RDWR|CREAT
        mkdir d
        hopenat 1 x RDWR|CREAT
        ls d
    """,
    "a moved directory in use": """
        mkdir d
        create d/f
        hopen 1 d RDONLY|DIRECTORY
        mkdir e
        rename d e/d
        hopenat 1 new RDWR|CREAT
        hlist 1
        ls e/d
        rename2 e/d e noreplace
        rename e e/d/x
        rename . x
        rename e/d/.. x
        stat e
    """,
    "hard links": """
        create f 0644 text
        link f g
        mkdir d
        link g d/h
        stat f
        same f d/h
        write g TEXT
        read d/h
        chmod d/h 0600
        stat f
        rename f g
        stat f
        stat g
        unlink f
        stat d/h
        truncate g 1
        read d/h
        rename g d/h
        rename d/h other
        unlink g
        stat other
        link d x
        symlink f l
        link l m
        stat ^m
        stat ^l
        unlink l
        stat ^m
    """,
    "link counts of directories": """
        mkdir d
        stat d
        mkdir d/a
        mkdir d/b
        stat d
        rename d/b e
        stat d
        stat .
        rename e d/a
        stat d
        stat .
        rename2 d/a d/b noreplace
        create x
        rename2 x d/b exchange
        stat .
        stat d
        rmdir x
        stat .
    """,
    "O_TMPFILE": """
        hopen 1 . TMPFILE|RDWR 0640
        hwrite 1 text
        hstat 1
        hlinkat 1 named
        hstat 1
        read named
        hlinkat 1 again
        stat named
        hopen 2 . TMPFILE|RDWR|EXCL 0640
        hlinkat 2 never
        hclose 1
        hclose 2
        mkdir d
        @a open d TMPFILE|RDWR
        chmod d 0777
        @a open d TMPFILE|RDWR
        open d TMPFILE|RDONLY
        open named TMPFILE|RDWR
        ls d
        ls .
    """,
    "appending": """
        create f 0644 begin
        hopen 1 f WRONLY|APPEND
        hopen 2 f WRONLY|APPEND
        hwrite 1 one
        hwrite 2 two
        hwrite 1 three
        truncate f 3
        hwrite 2 four
        hpwrite 1 five 0
        read f
        appenders log 4 200
        stat log
        makers only 6
    """,
    "fallocate": """
        create f 0644 text
        hopen 1 f RDWR
        hfallocate 1 alloc 0 8192
        hstat 1
        hfallocate 1 keep 0 65536
        hstat 1
        hfallocate 1 punch 0 4096
        hpread 1 4 0
        hfallocate 1 zero 4096 4096
        hfallocate 1 zero 8192 4096
        hstat 1
        hfallocate 1 zerokeep 12288 4096
        hstat 1
        hfallocate 1 punchonly 0 10
        hfallocate 1 bad 0 10
        hfallocate 1 alloc -1 10
        hfallocate 1 alloc 0 0
        hclose 1
        hopen 1 f RDONLY
        hfallocate 1 alloc 0 10
        mkfifo p
        hopen 2 p RDWR
        hfallocate 2 alloc 0 10
    """,
    "punching under a mapping": """
        create f 0644 0123456789
        hopen 1 f RDWR
        htruncate 1 12288
        hmap 1 4096 mapped
        hpread 1 6 4096
        hfallocate 1 punch 4096 4096
        hseek 1 0 data
        hmap 1 0 ABC
        read f
    """,
    "sparse files": """
        hopen 1 f RDWR|CREAT
        htruncate 1 10485760
        hblocks 1
        hseek 1 0 data
        hseek 1 0 hole
        hpwrite 1 island 4194304
        hseek 1 0 data
        hseek 1 4194304 hole
        hseek 1 8388608 data
        hseek 1 10485760 data
        hseek 1 10485760 hole
        hseek 1 -1 data
        hseek 1 0 end
        hseek 1 -5 set
        hstat 1
        hpread 1 10 4194300
    """,
    "beyond four GiB": """
        hopen 1 f RDWR|CREAT
        hpwrite 1 far 6442450944
        hstat 1
        hpread 1 10 6442450944
        hpread 1 3 4294967295
        hseek 1 0 data
        hopen 2 g RDWR|CREAT
        hcopy 1 6442450944 2 5368709120 3
        hstat 2
        htruncate 1 4294967297
        hstat 1
        truncate g 9223372036854775807
    """,
    "copy_file_range": """
        create f 0644 0123456789
        create g
        hopen 1 f RDWR
        hopen 2 g RDWR
        hcopy 1 0 2 0 10
        hcopy 1 5 2 20 100
        hcopy 1 10 2 0 5
        hstat 2
        read g
        hcopy 1 0 1 5 3
        hcopy 1 0 1 2 5
        read f
        hopen 3 g RDONLY
        hcopy 1 0 3 0 5
        hopen 4 g WRONLY|APPEND
        hcopy 1 0 4 0 5
        T g: hcopy 1 0 2 0 4
        mkdir d
        hopen 5 d RDONLY
        hcopy 5 0 2 0 4
    """,
    "a shared mapping": """
        create f 0644 0123456789
        hopen 1 f RDWR
        hmap 1 3 ABC
        hpread 1 10 0
        read f
        hwrite 1 xy
        read f
        hopen 2 f RDWR
        hmap 2 0 zz
        hpread 1 10 0
        htruncate 1 4
        read f
        htruncate 1 8
        read f
    """,
    "locks": """
        create f 0644 text
        hopen 1 f RDWR
        hopen 2 f RDWR
        hflock 1 ex
        hflock 2 sh
        hflock 2 ex
        hflock 1 sh
        hflock 2 sh
        hflock 1 un
        hflock 2 ex
        hflock 2 un
        hofd 1 wr 0 10
        hofd 2 wr 5 1
        hofd 2 rd 9 1
        hofd 2 wr 10 5
        hofd 1 un 0 5
        hofd 2 wr 0 2
        hofd 1 un 0 0
        hofd 2 un 0 0
        childlock 1 f 0 4
        hopen 3 f RDONLY
        hofd 3 wr 0 1
        hofd 3 rd 0 1
    """,
    "setuid goes with data and owner": """
        create f 0644 text
        chown f a a
        chmod f 6777
        write f x
        stat f
        @a write f y
        stat f
        chmod f 6777
        @b write f y
        stat f
        chmod f 6777
        @b truncate f 1
        stat f
        chmod f 6777
        truncate f 2
        stat f
        chmod f 6777
        @b open f WRONLY|TRUNC
        stat f
        chmod f 6777
        chown f b b
        stat f
        chmod f 2767
        chown f a a
        stat f
        chmod f 6777
        @a chown f -1 shared
        stat f
        @a chmod f 6777
        stat f
        chown f a b
        @a chmod f 6777
        stat f
        chmod f 6777
        @a hopen 1 f RDWR
        @a hfallocate 1 alloc 0 100
        stat f
        chmod f 6777
        @a hmap 1 0 m
        chmod f 6777
        @a hwrite 1 m
        stat f
        mkdir d
        chmod d 6777
        chown d a a
        stat d
        chmod d 2777
        @b mkdir d/sub
        stat d/sub
        @b create d/file
        stat d/file
    """,
    "sticky directories": """
        mkdir d
        chmod d 1777
        @a create d/a
        @b create d/b
        @a unlink d/b
        @a rename d/b d/c
        @a rename d/a d/b
        @a rename2 d/a d/b exchange
        @b unlink d/a
        @a mkdir d/s
        @b rmdir d/s
        @b rename d/s d/t
        @a unlink d/a
        chown d a -1
        @a unlink d/b
        @a create f
        ls d
    """,
    "fifos and sockets work inside": """
        mkfifo p 0600
        fifotalk p
        talk s
        stat p
        stat s
        bind s
        unlink s
        rename p q
        fifotalk q
        link q r
        stat r
        chmod q 0644
        stat r
        T q: utimens q 1 2
        mknod c chr
        mknod b blk
        stat c
        unlink c
        unlink b
        @a mknod c chr
    """,
    "a directory while it changes": """
        fill d 300
        walk_removing d
        fill e 300
        walk_adding e
        rmdir d
        rmdir e
    """,
    "statfs and pathconf": """
        statfs .
        create f
        statfs f
        pathconf f PC_NAME_MAX
    """,
    "long links": """
        symlink $4096 l
        symlink $255 m
        readlink m
        stat ^m
        symlink $256 n
        stat ^n
        stat n
        symlink $empty x
    """,
    "truncation on open": """
        create f 0644 text
        hopen 1 f RDWR
        open f WRONLY|TRUNC
        hstat 1
        hpread 1 10 0
        hwrite 1 xy
        read f
        open f RDWR|CREAT|TRUNC
        read f
        create g 0444 text
        @a open g WRONLY|TRUNC
        read g
    """,
    "a file made without permissions": """
        hopen 1 f RDWR|CREAT|EXCL 0000
        hwrite 1 text
        hpread 1 10 0
        htruncate 1 2
        hstat 1
        hopen 2 g WRONLY|CREAT|EXCL 0444
        hwrite 2 text
        stat g
        read g
    """,
    "exchange of everything": """
        create f 0644 file
        mkdir d
        create d/in 0644 inner
        rename2 f d exchange
        read d
        read f/in
        rename2 f/in d exchange
        read d
        read f/in
        rename2 f f/in exchange
        rename2 f/in f exchange
        hopen 1 d RDWR
        create x 0644 other
        rename2 d x exchange
        hpread 1 10 0
        read d
        read x
        T .: rename2 f x exchange
        types .
    """,
}.items()}
