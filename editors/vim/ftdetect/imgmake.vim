autocmd BufNewFile,BufRead imgmake.kdl,*.imgmake.kdl set filetype=imgmake
