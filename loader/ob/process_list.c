/*
 * The processes of this user in which peldr runs: who listens under the service's names
 * (/proc/net/unix, proc(5)) and answers for itself when connected to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ob/process.h"
#include "loader/ob/wire.h"

#define CONNECT_MILLISECONDS 200

/* The id in a line of the table; 0 = another socket. An abstract name shows with an '@'. */
static uint32_t id_of_line(const char *line)
{
    unsigned user, id;
    const char *name = strstr(line, " @peldr/");
    if (!name || sscanf(name, " @peldr/%u/%u", &user, &id) != 2 || user != geteuid())
        return 0;
    return id;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;
    return (first > second) - (first < second);
}

static bool answers(uint32_t id)
{
    int connection;
    if (!nt_ok(ob_service_connect(id, -1, CONNECT_MILLISECONDS, &connection, NULL)))
        return false;
    close(connection);
    return true;
}

/* Every connection is a line of its own with the listener's name: ids come more than once. */
static uint32_t *ids_in_table(size_t *count)
{
    char *line = NULL;
    size_t size = 0, room = 0;
    uint32_t *ids = NULL;
    FILE *table = fopen("/proc/net/unix", "re");
    *count = 0;
    while (table && getline(&line, &size, table) > 0) {
        uint32_t id = id_of_line(line);
        if (id == 0)
            continue;
        if (*count == room) {
            uint32_t *more = realloc(ids, (room = room * 2 + 64) * sizeof *ids);
            if (!more)
                break;
            ids = more;
        }
        ids[(*count)++] = id;
    }
    if (table)
        fclose(table);
    free(line);
    return ids;
}

uint32_t ob_process_list(uint32_t *ids, uint32_t room)
{
    size_t count;
    uint32_t found = 0;
    uint32_t *candidates = ids_in_table(&count);
    if (count)
        qsort(candidates, count, sizeof *candidates, compare_ids);
    for (size_t i = 0; i < count && found < room; i++)
        if ((i == 0 || candidates[i] != candidates[i - 1]) && answers(candidates[i]))
            ids[found++] = candidates[i];
    free(candidates);
    return found;
}
