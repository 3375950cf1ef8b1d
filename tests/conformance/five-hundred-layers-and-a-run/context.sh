i=0
while [ $i -lt 500 ]; do echo "COPY x /d$((i % 9))/f$((i % 100))"; i=$((i + 1)); done > steps
{ echo "FROM busybox"; cat steps; echo 'RUN find /d? -type f | wc -l > /seen; rm /d0/f0 /d8/f8'; } > ../Dockerfile
rm steps
echo x > x
