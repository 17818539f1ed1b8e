"""`python -m shoal`: the command line where no script of it is on the path, as in a job of a cluster."""

from shoal.cli import main

if __name__ == "__main__":
    main()
