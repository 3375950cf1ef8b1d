if exists("b:did_ftplugin")
  finish
endif
let b:did_ftplugin = 1

setlocal commentstring=//\ %s shiftwidth=4 expandtab
" :make lists the mistakes of the manifest, each with its place.
setlocal makeprg=imgmake\ -f\ %\ list\ 2>&1
setlocal errorformat=%Eerror:\ %m,%Wwarning:\ %m,%Z\ -->\ %f:%l:%c,%-G%.%#

let b:undo_ftplugin = "setlocal commentstring< shiftwidth< expandtab< makeprg< errorformat<"
