mkdir -p t/sub t/link
echo new > t/old
echo 1 > t/sub/1
echo 2 > t/link/2
echo f > t/other
tar --owner=3 --group=4 --mode=u=rwX,go=rX --sort=name --mtime=@0 -C t -cf t.tar old sub link other
