truncate -s 5M sparse
printf end >> sparse
truncate -s 6M sparse
