"""Made-up input of every kind; `sh tests/fuzz/run.sh 2000` tries more of it than CI does."""
