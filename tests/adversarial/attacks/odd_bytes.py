# R47, R49, R50: bytes that are no text: noise, lone surrogates, NUL, a character cut at the end; and text
# that plays with who reads it: escapes for the clipboard and the screen, and reversed writing.
import os
import sys

sys.stdout.buffer.write(b"\xed\xa0\x80\x00\xff|\x1b]52;c;eA==\x07\x1b[2J\r\xe2\x80\xae|")
sys.stdout.buffer.write(b"\xe2\x82")
sys.stderr.buffer.write(os.urandom(200 * 1024))
