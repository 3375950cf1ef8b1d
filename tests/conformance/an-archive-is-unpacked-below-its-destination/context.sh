echo x > x; ln x x2
ln -s .. l; ln -s / abs; ln -s ../../../etc up
named() { tar -P --owner=3 --group=4 --transform="s,^x\$,$2,S" -rf "$1" x; }
tar --owner=3 --group=4 -cf links.tar l abs up
named links.tar l/etc/f; named links.tar abs/etc/g; named links.tar up/h
named names.tar ../../a; named names.tar /b; named names.tar c/../../../d/e
tar -P --owner=3 --group=4 --transform='s,^x2$,../../linked,S;s,^x$,../first,S' -rf names.tar x x2
named names.tar .wh.b; named names.tar .wh..wh..opq; named names.tar s/.wh.x/y
named root.tar .; named root.tar /; named root.tar ..; named root.tar f
named deep.tar one/two/f
rm x x2 l abs up
