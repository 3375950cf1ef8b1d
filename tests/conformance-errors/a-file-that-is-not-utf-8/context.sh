printf 'FROM scratch\nLABEL a="\351t\351"\n' > ../Dockerfile
