touch a1 a2 a3 b1 'a*' 'a?' .hidden
mkdir -p deep/x deep/y
touch deep/x/f.c deep/y/f.c deep/y/g.h
