module headframe/lab/kubernetes/pause

go 1.24
