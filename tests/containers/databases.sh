# Run the server that Compose asks for, as the entry points of the usual images do.
set -e
if [ "$1" = valkey-server ]; then
    mkdir -p /data
    exec "$@" --dir /data
fi
programs=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data
mkdir -p $data
chown -R postgres /var/lib/postgresql
chmod 700 $data
as_postgres() { su postgres -c "$*"; }
if [ ! -e $data/PG_VERSION ]; then
    echo "$POSTGRES_PASSWORD" > /tmp/password
    as_postgres "$programs/initdb -D $data -U $POSTGRES_USER --pwfile=/dev/stdin -E UTF8 --locale=C.UTF-8 -A scram-sha-256" < /tmp/password
    echo "host all all all scram-sha-256" >> $data/pg_hba.conf
    as_postgres "$programs/pg_ctl -D $data -w start -o '-c listen_addresses='"
    PGPASSWORD=$POSTGRES_PASSWORD psql --host /var/run/postgresql --username "$POSTGRES_USER" postgres --command "CREATE DATABASE $POSTGRES_DB"
    as_postgres "$programs/pg_ctl -D $data -w stop"
fi
exec su postgres -c "exec $programs/postgres -D $data -c 'listen_addresses=*'"
