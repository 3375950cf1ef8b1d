echo tool > plain
