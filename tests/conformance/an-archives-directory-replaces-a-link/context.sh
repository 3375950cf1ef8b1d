mkdir -p t/data
echo 1 > t/data/1
tar --owner=0 --group=0 -C t -cf t.tar data
