/*
 * mmfshare server [TEXT] and mmfshare client, in two consoles and any order: two processes exchange
 * text through memory that both have mapped.
 *
 * The section object is of the paging file (INVALID_HANDLE_VALUE), so there is no file that others
 * could see, and nothing to remove afterwards: the last handle takes the memory and its name along.
 * Two events say whose turn it is. Whoever comes first creates them, whoever comes second opens the
 * same ones; CreateEvent does either.
 *
 * Look at: the struct in the view. Its members have the same sizes in 32-bit and 64-bit programs,
 * so that one of each can talk.
 */
#include "console.h"

#define SECTION_NAME  L"Local\\peldr-sample-mmfshare"
#define WRITTEN_NAME  L"Local\\peldr-sample-mmfshare-written"
#define ANSWERED_NAME L"Local\\peldr-sample-mmfshare-answered"

struct exchange {
    DWORD question_length, answer_length; /* without a terminator */
    char question[500], answer[500];
};

static HANDLE written, answered;

static void put(char *where, DWORD *length, const char *text)
{
    *length = (DWORD)strlen(text);
    if (*length > sizeof((struct exchange *)0)->question)
        *length = sizeof((struct exchange *)0)->question;
    memcpy(where, text, *length);
}

static struct exchange *view_of(HANDLE section)
{
    struct exchange *shared = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, sizeof *shared);
    check(shared != NULL, "MapViewOfFile");
    return shared;
}

static int server(const char *text)
{
    struct exchange *shared;
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0,
                                        sizeof *shared, SECTION_NAME);
    check(section != NULL, "CreateFileMapping");
    if (GetLastError() == ERROR_ALREADY_EXISTS)
        die("is there a server already?");
    shared = view_of(section);
    put(shared->question, &shared->question_length, text);
    say("server: wrote \"%s\"", text);
    check(SetEvent(written), "SetEvent");
    await(answered, "waiting for the client");
    say("server: the answer is \"%.*s\"", (int)shared->answer_length, shared->answer);
    UnmapViewOfFile(shared);
    CloseHandle(section);
    return 0;
}

static int client(void)
{
    struct exchange *shared;
    HANDLE section;
    char answer[sizeof shared->answer];
    await(written, "waiting for the server");
    section = OpenFileMappingW(FILE_MAP_WRITE, FALSE, SECTION_NAME);
    check(section != NULL, "OpenFileMapping");
    shared = view_of(section);
    say("client: read \"%.*s\"", (int)shared->question_length, shared->question);
    snprintf(answer, sizeof answer, "%lu characters, thank you",
             (unsigned long)shared->question_length);
    put(shared->answer, &shared->answer_length, answer);
    say("client: answered \"%s\"", answer);
    check(SetEvent(answered), "SetEvent");
    UnmapViewOfFile(shared);
    CloseHandle(section);
    return 0;
}

int main(int argc, char **argv)
{
    written = CreateEventW(NULL, FALSE, FALSE, WRITTEN_NAME);
    answered = CreateEventW(NULL, FALSE, FALSE, ANSWERED_NAME);
    check(written && answered, "CreateEvent");
    if (has_role(argc, argv, "server"))
        return server(argc > 2 ? argv[2] : "Is anybody there?");
    if (has_role(argc, argv, "client"))
        return client();
    fprintf(stderr, "usage: mmfshare server [TEXT] | mmfshare client\n");
    return 2;
}
