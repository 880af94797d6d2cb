-- The demo shop: a few million rows in all, with what people meet in real
-- databases: foreign keys, jsonb, arrays, enums, a view, a materialised view,
-- a partitioned table, large values, NULL beside the empty string, and a
-- tablespace. Deterministic, so that scripts can check what they read.
\set ON_ERROR_STOP on
select setseed(0.42);

create schema shop;
set search_path = shop;

create type order_state as enum ('new', 'paid', 'shipped', 'returned');

create table customers (
    id         bigint generated always as identity primary key,
    email      text not null unique,
    name       text not null,
    nickname   text,
    tags       text[] not null default '{}',
    profile    jsonb not null default '{}',
    created_at timestamptz not null
);
comment on table customers is 'Everyone who ever bought something';

create table products (
    sku         text primary key,
    title       text not null,
    price       numeric(12,2) not null check (price >= 0),
    attributes  jsonb not null default '{}',
    picture     bytea
);

create table orders (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customers,
    state       order_state not null,
    placed_at   timestamptz not null,
    note        text
);
comment on column orders.note is 'What the customer asked for, in their own words';

create table order_items (
    order_id  bigint not null references orders on delete cascade,
    line      int not null,
    sku       text not null references products,
    quantity  int not null,
    price     numeric(12,2) not null,
    primary key (order_id, line)
);

create table events (
    at     timestamptz not null,
    kind   text not null,
    detail jsonb
) partition by range (at);
create table events_2025 partition of events for values from ('2025-01-01') to ('2026-01-01') tablespace archive;
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');

insert into customers (email, name, nickname, tags, profile, created_at)
select 'customer' || g || '@example.com',
       (array['Ada','Grace','Edsger','Barbara','Donald','Frances','Michael','Jim'])[1 + g % 8] || ' ' ||
       (array['Lovelace','Hopper','Dijkstra','Liskov','Knuth','Allen','Stonebraker','Gray'])[1 + g / 8 % 8],
       case g % 3 when 0 then null when 1 then '' else 'nick' || g end,
       (array['new','loyal','newsletter','b2b'])[1 : g % 4],
       jsonb_build_object('city', (array['Zürich','København','東京','القاهرة'])[1 + g % 4], 'visits', g % 97,
                          'address', jsonb_build_object('zip', lpad((g % 99999)::text, 5, '0'), 'lines', jsonb_build_array('Street ' || g % 200, 'Floor ' || g % 9))),
       timestamptz '2024-01-01 00:00+00' + g * interval '4 minutes'
from generate_series(1, 150000) g;

insert into products (sku, title, price, attributes, picture)
select 'SKU-' || lpad(g::text, 5, '0'),
       (array['Teapot','Lamp','Notebook','Chair','Clock'])[1 + g % 5] || ' no. ' || g,
       round((5 + random() * 495)::numeric, 2),
       jsonb_build_object('colour', (array['red','green','blue'])[1 + g % 3], 'weight_g', 100 + g % 900),
       case when g % 50 = 0 then decode('89504e470d0a1a0a', 'hex') || decode(repeat(md5(g::text), 40), 'hex') end
from generate_series(1, 5000) g;

insert into orders (customer_id, state, placed_at, note)
select 1 + (random() * 149999)::int,
       (array['new','paid','shipped','returned']::order_state[])[1 + g % 4],
       timestamptz '2025-01-01 00:00+00' + g * interval '1 minute',
       case when g % 20 = 0 then 'Please wrap it as a present, and do not ring the bell' when g % 20 = 1 then '' end
from generate_series(1, 600000) g;

insert into order_items (order_id, line, sku, quantity, price)
select o, l, 'SKU-' || lpad((1 + (o * 7 + l * 13) % 5000)::text, 5, '0'), 1 + (o + l) % 5, 5 + (o * l) % 400
from generate_series(1, 600000) o, generate_series(1, 3) l;

insert into events (at, kind, detail)
select timestamptz '2025-01-01 00:00+00' + g * interval '70 seconds',
       (array['login','view','basket','checkout'])[1 + g % 4],
       case when g % 5 = 0 then jsonb_build_object('session', md5(g::text), 'ms', g % 700) end
from generate_series(1, 700000) g;

create index on orders (customer_id);
create index on orders (placed_at);
create index on order_items (sku);
create index on customers using gin (profile);

create view revenue_by_month as
select date_trunc('month', o.placed_at) as month, count(distinct o.id) as orders, sum(i.quantity * i.price) as revenue
from orders o join order_items i on i.order_id = o.id
where o.state <> 'returned' group by 1;

create materialized view top_products as
select sku, sum(quantity) as sold from order_items group by sku order by sold desc limit 100;

create sequence invoice_number start 10001;
create function customer_since(bigint) returns interval language sql stable
    as $$ select timestamptz '2026-11-20' - created_at from shop.customers where id = $1 $$;
