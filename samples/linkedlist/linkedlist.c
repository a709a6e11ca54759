/*
 * linkedlist: a list with ordinary pointers that two processes share.
 *
 * A pointer means the same in two processes only if both have the memory at the same address. So
 * they agree on one, and MapViewOfFileEx asks for it. There is no second choice: where the address
 * is taken the call fails, and a program that cannot choose an address which is free everywhere
 * should store offsets instead of pointers.
 *
 * The program starts itself a second time. Look at: the view that Windows places where it likes. It
 * shows the same list, and its pointers lead out of it into the agreed view.
 */
#include "console.h"

#define NAME   "Local\\peldr-sample-linkedlist"
#define AGREED ((void *)0x50000000)

struct node {
    struct node *next;
    char text[24];
};

struct list {
    struct node *head;
    DWORD used;
    struct node nodes[100];
};

static const char *who;

static void push(struct list *list, const char *text)
{
    struct node *node = &list->nodes[list->used++];
    snprintf(node->text, sizeof node->text, "%s", text);
    node->next = list->head;
    list->head = node;
}

static void show(const struct list *list)
{
    char line[200] = "";
    for (const struct node *node = list->head; node; node = node->next) {
        strcat(line, " -> ");
        strcat(line, node->text);
    }
    say("%s: the list at 0x%lx%s", who, (unsigned long)(ULONG_PTR)list, line);
}

static struct list *view_at_agreed_address(HANDLE section)
{
    struct list *list;
    check(section != NULL, "the section object");
    list = MapViewOfFileEx(section, FILE_MAP_WRITE, 0, 0, 0, AGREED);
    check(list != NULL, "the agreed address is taken: MapViewOfFileEx");
    return list;
}

static int first(void)
{
    PROCESS_INFORMATION second;
    DWORD code;
    struct list *list = view_at_agreed_address(CreateFileMappingA(
        INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, sizeof(struct list), NAME));
    push(list, "three");
    push(list, "two");
    show(list);
    start_again("second", &second);
    code = wait_for_end(&second);
    show(list);
    UnmapViewOfFile(list);
    return (int)code;
}

static int second(void)
{
    HANDLE section = OpenFileMappingA(FILE_MAP_READ | FILE_MAP_WRITE, FALSE, NAME);
    struct list *list = view_at_agreed_address(section), *elsewhere;
    show(list);
    push(list, "one");
    if (!MapViewOfFileEx(section, FILE_MAP_READ, 0, 0, 0, AGREED))
        say("%s: the same address again: error %lu", who, (unsigned long)GetLastError());
    elsewhere = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    check(elsewhere != NULL, "MapViewOfFile");
    say("%s: a view elsewhere begins with \"%s\", a node of %s", who, elsewhere->head->text,
        elsewhere->head == list->head ? "the agreed view" : "its own");
    UnmapViewOfFile(elsewhere);
    UnmapViewOfFile(list);
    CloseHandle(section);
    return 0;
}

int main(int argc, char **argv)
{
    BOOL is_second = has_role(argc, argv, "second");
    who = is_second ? "second" : "first ";
    return is_second ? second() : first();
}
