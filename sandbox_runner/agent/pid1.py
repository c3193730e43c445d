"""Entry of PID 1: `python3 -I -S -B …/agent/pid1.py`. Tiny, as a main script is compiled at each start."""

if __name__ == "__main__":
    import sys

    # -I leaves this file's folder out of the path. In the image this package is called `agent`.
    sys.path.insert(0, __file__[: -len("/agent/pid1.py")])
    from agent.loop import main  # type: ignore[import-not-found]

    main()
