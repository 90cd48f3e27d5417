<?php
// Roundcube's own file: where the mail is, with the certificate checked. 1 imaps; 2 submission; 3 domain
$tls = ['ssl' => ['verify_peer' => true, 'verify_peer_name' => true, 'cafile' => '/etc/tls/server.pem']];
$config = [
    'imap_host' => 'ssl://localhost:%[1]s',
    'imap_conn_options' => $tls,
    'smtp_host' => 'tls://localhost:%[2]s',
    'smtp_conn_options' => $tls,
    'smtp_user' => '%%u',
    'smtp_pass' => '%%p',
    'mail_domain' => '%[3]s',
    'db_dsnw' => 'sqlite:////srv/roundcube.db',
    'des_key' => 'not a secret, 24 octets.',
    'log_driver' => 'file',
    'log_dir' => '/srv/',
    'temp_dir' => '/srv/',
    'language' => 'en_US',
    'plugins' => [],
    'skin' => 'elastic',
    
    'refresh_interval' => 60,
];
