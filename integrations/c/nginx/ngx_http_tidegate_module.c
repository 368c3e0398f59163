/* Limits the rate of requests, as limit_req does, by a table in a file that all workers map.
 *
 *     http {
 *         tidegate_zone clients key=$binary_remote_addr file=/run/tidegate/clients keys=100000 rate=10r/s burst=20;
 *         server {
 *             location /login { tidegate clients; }
 *         }
 *     }
 *
 * Workers take no lock, and one that is killed takes nothing along. A request that is denied gets 429 and
 * Retry-After. A location may have several zones: each is charged, one after another.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <sys/random.h>

#include "tidegate.h"

typedef struct {
    ngx_str_t name;
    ngx_str_t file;
    ngx_http_complex_value_t key;
    size_t keys;
    tg_quota quota;
    tg_plan plan;
    tg_shared *shared;
} zone_t;

typedef struct {
    ngx_array_t zones; /* of zone_t * */
} main_conf_t;

typedef struct {
    ngx_array_t *zones; /* of zone_t *, or NULL: those of the block around */
    ngx_uint_t status;
} location_conf_t;

static ngx_int_t handle(ngx_http_request_t *request);
static ngx_int_t prepare(ngx_conf_t *conf);
static void *create_main(ngx_conf_t *conf);
static void *create_location(ngx_conf_t *conf);
static char *merge_location(ngx_conf_t *conf, void *parent, void *child);
static char *read_zone(ngx_conf_t *conf, ngx_command_t *command, void *value);
static char *read_limit(ngx_conf_t *conf, ngx_command_t *command, void *value);
static ngx_int_t open_zones(ngx_cycle_t *cycle);
static void close_zones(ngx_cycle_t *cycle);

static ngx_conf_num_bounds_t statuses = {ngx_conf_check_num_bounds, 400, 599};

static ngx_command_t commands[] = {
    {ngx_string("tidegate_zone"), NGX_HTTP_MAIN_CONF | NGX_CONF_2MORE, read_zone, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("tidegate"), NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, read_limit,
     NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("tidegate_status"), NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
     ngx_conf_set_num_slot, NGX_HTTP_LOC_CONF_OFFSET, offsetof(location_conf_t, status), &statuses},
    ngx_null_command,
};

static ngx_http_module_t context = {
    NULL, prepare, create_main, NULL, NULL, NULL, create_location, merge_location,
};

ngx_module_t ngx_http_tidegate_module = {
    NGX_MODULE_V1,  &context,    commands, NGX_HTTP_MODULE,       NULL, NULL, open_zones, NULL, NULL,
    close_zones,    NULL,        NGX_MODULE_V1_PADDING,
};

/* Says why a zone cannot be used, and returns an error. */
static char *refuse(ngx_conf_t *conf, ngx_str_t *zone, const char *why)
{
    ngx_conf_log_error(NGX_LOG_EMERG, conf, 0, "tidegate zone \"%V\": %s", zone, why);
    return NGX_CONF_ERROR;
}

static zone_t *find(main_conf_t *all, ngx_str_t *name)
{
    zone_t **zones = all->zones.elts;

    for (ngx_uint_t at = 0; at < all->zones.nelts; at++)
        if (zones[at]->name.len == name->len && ngx_strncmp(zones[at]->name.data, name->data, name->len) == 0)
            return zones[at];
    return NULL;
}

/* Returns what follows `name` in an argument such as `keys=100`, or one of length 0. */
static ngx_str_t after(ngx_str_t *argument, const char *name)
{
    ngx_str_t none = ngx_null_string;
    size_t length = ngx_strlen(name);

    if (argument->len <= length || ngx_strncmp(argument->data, name, length) != 0)
        return none;
    return (ngx_str_t){argument->len - length, argument->data + length};
}

/* Reads a rate: `10r/s` or `10r/m`. Returns 0 if it is none. */
static uint64_t rate(ngx_str_t text, uint64_t *period_ns)
{
    ngx_int_t cells;

    if (text.len < 4 || ngx_strncmp(text.data + text.len - 3, "r/", 2) != 0)
        return 0;
    switch (text.data[text.len - 1]) {
    case 's':
        *period_ns = 1000000000;
        break;
    case 'm':
        *period_ns = 60000000000;
        break;
    default:
        return 0;
    }
    cells = ngx_atoi(text.data, text.len - 3);
    return cells > 0 ? (uint64_t)cells : 0;
}

/* tidegate_zone NAME key=... file=... keys=... rate=... [burst=...] */
static char *read_zone(ngx_conf_t *conf, ngx_command_t *command, void *value)
{
    main_conf_t *all = value;
    ngx_str_t *arguments = conf->args->elts;
    zone_t *zone = ngx_pcalloc(conf->pool, sizeof *zone), **place;
    ngx_http_compile_complex_value_t compile;
    ngx_int_t number;

    (void)command;
    if (!zone)
        return NGX_CONF_ERROR;
    zone->name = arguments[1];
    if (find(all, &zone->name))
        return refuse(conf, &zone->name, "there are two of this name");
    for (ngx_uint_t at = 2; at < conf->args->nelts; at++) {
        ngx_str_t *argument = &arguments[at], text;

        if ((text = after(argument, "key=")).len) {
            ngx_memzero(&compile, sizeof compile);
            compile.cf = conf;
            compile.value = &text;
            compile.complex_value = &zone->key;
            if (ngx_http_compile_complex_value(&compile) != NGX_OK)
                return NGX_CONF_ERROR;
        } else if ((text = after(argument, "file=")).len) {
            zone->file = text;
            if (ngx_conf_full_name(conf->cycle, &zone->file, 0) != NGX_OK)
                return NGX_CONF_ERROR;
        } else if ((text = after(argument, "keys=")).len) {
            number = ngx_atoi(text.data, text.len);
            if (number <= 0)
                return refuse(conf, &zone->name, "keys is no number above 0");
            zone->keys = (size_t)number;
        } else if ((text = after(argument, "rate=")).len) {
            zone->quota.cells = rate(text, &zone->quota.period_ns);
            if (!zone->quota.cells)
                return refuse(conf, &zone->name, "rate is none such as 10r/s or 10r/m");
        } else if ((text = after(argument, "burst=")).len) {
            number = ngx_atoi(text.data, text.len);
            if (number <= 0)
                return refuse(conf, &zone->name, "burst is no number above 0");
            zone->quota.burst = (uint64_t)number;
        } else {
            return refuse(conf, argument, "no such argument of a zone");
        }
    }
    if (!zone->key.value.data || !zone->file.len || !zone->keys || !zone->quota.cells)
        return refuse(conf, &zone->name, "key, file, keys and rate are needed");
    if (!zone->quota.burst)
        zone->quota.burst = 1;
    place = ngx_array_push(&all->zones);
    if (!place)
        return NGX_CONF_ERROR;
    *place = zone;
    return NGX_CONF_OK;
}

/* tidegate NAME */
static char *read_limit(ngx_conf_t *conf, ngx_command_t *command, void *value)
{
    location_conf_t *location = value;
    ngx_str_t *arguments = conf->args->elts;
    zone_t *zone = find(ngx_http_conf_get_module_main_conf(conf, ngx_http_tidegate_module), &arguments[1]), **place;

    (void)command;
    if (!zone)
        return refuse(conf, &arguments[1], "there is no zone of this name above");
    if (!location->zones)
        location->zones = ngx_array_create(conf->pool, 2, sizeof(zone_t *));
    place = location->zones ? ngx_array_push(location->zones) : NULL;
    if (!place)
        return NGX_CONF_ERROR;
    *place = zone;
    return NGX_CONF_OK;
}

static void *create_main(ngx_conf_t *conf)
{
    main_conf_t *all = ngx_pcalloc(conf->pool, sizeof *all);

    if (!all || ngx_array_init(&all->zones, conf->pool, 4, sizeof(zone_t *)) != NGX_OK)
        return NULL;
    return all;
}

static void *create_location(ngx_conf_t *conf)
{
    location_conf_t *location = ngx_pcalloc(conf->pool, sizeof *location);

    if (location)
        location->status = NGX_CONF_UNSET_UINT;
    return location;
}

static char *merge_location(ngx_conf_t *conf, void *parent, void *child)
{
    location_conf_t *around = parent, *location = child;

    (void)conf;
    if (!location->zones)
        location->zones = around->zones;
    ngx_conf_merge_uint_value(location->status, around->status, NGX_HTTP_TOO_MANY_REQUESTS);
    return NGX_CONF_OK;
}

static ngx_int_t prepare(ngx_conf_t *conf)
{
    ngx_http_core_main_conf_t *core = ngx_http_conf_get_module_main_conf(conf, ngx_http_core_module);
    ngx_http_handler_pt *place = ngx_array_push(&core->phases[NGX_HTTP_PREACCESS_PHASE].handlers);

    if (!place)
        return NGX_ERROR;
    *place = handle;
    return NGX_OK;
}

/* Opens the files, in each worker. Their seeds stay as the first worker has made them. */
static ngx_int_t open_zones(ngx_cycle_t *cycle)
{
    main_conf_t *all = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_tidegate_module);
    zone_t **zones;

    if (!all || ngx_process == NGX_PROCESS_HELPER)
        return NGX_OK;
    zones = all->zones.elts;
    for (ngx_uint_t at = 0; at < all->zones.nelts; at++) {
        zone_t *zone = zones[at];
        tg_settings settings = {.keys = zone->keys, .quotas = &zone->quota, .quota_count = 1};
        tg_error error;

        if (getrandom(&settings.seed, sizeof settings.seed, 0) != (ssize_t)sizeof settings.seed)
            return NGX_ERROR;
        error = tg_shared_open((const char *)zone->file.data, &settings, &zone->shared);
        if (error == TG_OK)
            error = tg_table_plan(tg_shared_table(zone->shared), &zone->quota, &zone->plan);
        if (error != TG_OK) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "tidegate zone \"%V\": %V: %s", &zone->name, &zone->file,
                          tg_error_message(error));
            return NGX_ERROR;
        }
    }
    return NGX_OK;
}

static void close_zones(ngx_cycle_t *cycle)
{
    main_conf_t *all = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_tidegate_module);
    zone_t **zones = all ? all->zones.elts : NULL;

    for (ngx_uint_t at = 0; all && at < all->zones.nelts; at++) {
        tg_shared_close(zones[at]->shared);
        zones[at]->shared = NULL;
    }
}

/* Tells the client how many seconds to wait: rounded up, or it would come too early. */
static ngx_int_t tell(ngx_http_request_t *request, const tg_decision *decision)
{
    ngx_table_elt_t *header;
    tg_figures figures;

    if (tg_decision_figures(decision, &figures) != TG_OK || figures.retry_after_ns == UINT64_MAX)
        return NGX_OK;
    header = ngx_list_push(&request->headers_out.headers);
    if (!header)
        return NGX_ERROR;
    ngx_memzero(header, sizeof *header);
    header->hash = 1;
    ngx_str_set(&header->key, "Retry-After");
    header->value.data = ngx_pnalloc(request->pool, NGX_INT64_LEN);
    if (!header->value.data)
        return NGX_ERROR;
    header->value.len =
        ngx_sprintf(header->value.data, "%uL", (figures.retry_after_ns + 999999999) / 1000000000) - header->value.data;
    return NGX_OK;
}

/* Marks a request that was charged. */
static void charged(void *nothing)
{
    (void)nothing;
}

/* Returns whether a request was charged before it was redirected within nginx, and marks it. A redirection
 * clears what modules keep of a request, but not what is to be cleaned up after it. */
static ngx_int_t is_charged(ngx_http_request_t *request)
{
    ngx_pool_cleanup_t *cleanup;

    for (cleanup = request->pool->cleanup; cleanup; cleanup = cleanup->next)
        if (cleanup->handler == charged)
            return 1;
    cleanup = ngx_pool_cleanup_add(request->pool, 0);
    if (!cleanup)
        return NGX_ERROR;
    cleanup->handler = charged;
    return 0;
}

static ngx_int_t handle(ngx_http_request_t *request)
{
    location_conf_t *location = ngx_http_get_module_loc_conf(request, ngx_http_tidegate_module);
    ngx_int_t was_charged;
    zone_t **zones;

    if (!location->zones)
        return NGX_DECLINED;
    was_charged = is_charged(request);
    if (was_charged)
        return was_charged == NGX_ERROR ? NGX_HTTP_INTERNAL_SERVER_ERROR : NGX_DECLINED;
    zones = location->zones->elts;
    for (ngx_uint_t at = 0; at < location->zones->nelts; at++) {
        zone_t *zone = zones[at];
        tg_decision decision;
        tg_error error;
        ngx_str_t key;

        if (ngx_http_complex_value(request, &zone->key, &key) != NGX_OK)
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        /* A request without a key is not limited, as by limit_req. */
        if (!key.len)
            continue;
        error = tg_table_check(tg_shared_table(zone->shared), key.data, key.len, &zone->plan, 1, tg_now_ns(), &decision);
        if (error == TG_OK)
            continue;
        if (error != TG_DENIED) {
            ngx_log_error(NGX_LOG_ERR, request->connection->log, 0, "tidegate zone \"%V\": %s", &zone->name,
                          tg_error_message(error));
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
        ngx_log_error(NGX_LOG_WARN, request->connection->log, 0, "tidegate zone \"%V\": denied", &zone->name);
        return tell(request, &decision) == NGX_OK ? (ngx_int_t)location->status : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return NGX_DECLINED;
}
