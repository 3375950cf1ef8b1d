printf '\357\273\277FROM busybox\r\nENV A=1 \\\r\n  B=2\r\nRUN echo $A \\\r\n  $B > /x\r\nCMD ["a"]\r\n' > ../Dockerfile
