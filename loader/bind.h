/*
 * The last step of building a program with libpeldr in it (bind.c).
 */
#ifndef LOADER_BIND_H
#define LOADER_BIND_H

/*
 * Writes this program once more, to the file `path`, with the addresses of the host's functions in
 * the builtin modules' images. They are known when the program lies at a fixed address; the copy of
 * one that does not is as it was. 0, or -1 with a sentence on standard error.
 */
int peldr_bind_program(const char *path);

#endif
