/*
 * reverse FILE: turns a text file back to front where it lies, through a view of it.
 *
 * Nothing is read and nothing is written: the file is mapped, and what is done to memory is done to
 * the file. A C string function does the work, so the text needs a terminating zero: the section
 * object is made one byte larger than the file, and that makes the file grow. Afterwards
 * SetEndOfFile takes the byte off again.
 *
 * Look at: the size before and after CreateFileMapping, and at the order of the end. As long as a
 * view of it exists, a file cannot be cut: error 1224, ERROR_USER_MAPPED_FILE.
 */
#include "console.h"

static DWORD size_of(HANDLE file)
{
    LARGE_INTEGER size;
    check(GetFileSizeEx(file, &size), "GetFileSizeEx");
    if (size.QuadPart >= MAXDWORD) {
        SetLastError(ERROR_FILE_TOO_LARGE);
        die("the program counts in 32 bits");
    }
    return size.LowPart;
}

static BOOL cut(HANDLE file, DWORD size)
{
    return SetFilePointer(file, (LONG)size, NULL, FILE_BEGIN) != INVALID_SET_FILE_POINTER &&
           SetEndOfFile(file);
}

/* Back to front, "\r\n" has become "\n\r". */
static void repair_line_ends(char *text)
{
    for (text = strstr(text, "\n\r"); text; text = strstr(text + 2, "\n\r")) {
        text[0] = '\r';
        text[1] = '\n';
    }
}

static BOOL reverse_view(HANDLE section, DWORD size)
{
    char *text = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    BOOL is_text;
    check(text != NULL, "MapViewOfFile");
    text[size] = '\0';
    is_text = strlen(text) == size;
    if (is_text) {
        _strrev(text);
        repair_line_ends(text);
    }
    UnmapViewOfFile(text);
    return is_text;
}

/* What a program gets that cuts a file too early. */
static void cut_too_early(HANDLE file, HANDLE section, DWORD size)
{
    void *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    check(view != NULL, "MapViewOfFile");
    if (cut(file, size))
        say("the file was cut under its view, which must not happen");
    else
        say("cutting it while a view exists: error %lu", (unsigned long)GetLastError());
    UnmapViewOfFile(view);
}

int main(int argc, char **argv)
{
    HANDLE file, section;
    DWORD size;
    BOOL is_text;
    if (argc != 2) {
        fprintf(stderr, "usage: reverse FILE\n");
        return 2;
    }
    file = CreateFileA(argv[1], GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                       FILE_ATTRIBUTE_NORMAL, NULL);
    check(file != INVALID_HANDLE_VALUE, "CreateFile");
    size = size_of(file);
    say("the file has %lu bytes", (unsigned long)size);

    section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, size + 1, NULL);
    check(section != NULL, "CreateFileMapping");
    say("with its section object it has %lu", (unsigned long)size_of(file));
    is_text = reverse_view(section, size);
    cut_too_early(file, section, size);
    CloseHandle(section);

    check(cut(file, size), "SetEndOfFile");
    say("%s; the file has %lu bytes", is_text ? "reversed" : "no text file, left as it was",
        (unsigned long)size_of(file));
    CloseHandle(file);
    return is_text ? 0 : 1;
}
