cp ../Dockerfile .
