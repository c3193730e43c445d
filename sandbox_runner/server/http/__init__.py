"""The server over HTTP: who may call (`authentication`, `keys`, `hosts`), within which bounds
(`bodies`, `connections`), and how calls end (`calls`, `serving`)."""
