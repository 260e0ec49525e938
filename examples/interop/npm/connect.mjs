// Loaded before a client. Redirects every TLS connection to the loopback port CONNECT_PORT, from
// the address CONNECT_FROM. Connections to an identity provider on this machine are not redirected.
// The client is not modified and still checks the name in the certificate.
import tls from 'node:tls'

const connect = tls.connect
tls.connect = (options, ...rest) =>
  options.host === '127.0.0.1' ? connect(options, ...rest) : connect({
    ...options,
    host: '127.0.0.1',
    port: Number(process.env.CONNECT_PORT),
    localAddress: process.env.CONNECT_FROM,
  }, ...rest)
