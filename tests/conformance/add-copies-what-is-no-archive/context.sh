echo text > a.tar
echo text | gzip -n > text.gz
: > empty.tar
printf 'PK\003\004' > a.zip
